"""The processes of a stock Baetyl agent that report, and what each of them cannot know.

Two processes of a node report: `baetyl-core` looks after all apps but itself, `baetyl-init` after
`baetyl-core` alone.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from cloud.core.app import AppVersion
from cloud.core.report import Report

CORE = "baetyl-core"
INIT = "baetyl-init"

_SYSTEM_KEYS = ("sysapps", "sysappstats")


def lacks_core(report: Report) -> bool:
    """Return whether *report* names no system app that is the core."""
    return not any(CORE in app.name for app in report.reported.sysapps or ())


class _Hosts(msgspec.Struct):
    node: dict[str, Any] | None = None


_HOSTS = msgspec.json.Decoder(_Hosts)


def runs_containers(report: Report) -> bool:
    """Return whether by *report* the agent runs containers on every host.

    As baetyl-cloud knows it: in native mode a host has neither a container runtime nor a machine
    id. An agent that names no hosts may be such an agent.
    """
    node = _HOSTS.decode(report.document).node or {}
    hosts = [one for one in node.values() if type(one) is dict] or [node]
    return all(host.get("containerRuntime") or host.get("machineID") for host in hosts)


def with_core_of(last: Report, report: Report) -> Report:
    """*report* of the core, with the core of *last* where it has none.

    While it is replaced by another version the core does not see itself.
    """
    if CORE.encode() not in last.document:
        return report
    before, after = _map_of(last), _map_of(report)
    changed = dict(after)
    for key in _SYSTEM_KEYS:
        entries = after.get(key) or []
        known = [entry for entry in before.get(key) or [] if _is_core(entry)]
        if known and not any(_is_core(entry) for entry in entries):
            changed[key] = [*entries, *known]
    return _with_content(report, changed) if changed != after else report


def with_system_apps_of(init: Report, last: Report) -> Report:
    """*last* report of the core, with the system apps of *init*."""
    content = _map_of(init)
    system = {key: content[key] for key in _SYSTEM_KEYS if content.get(key) is not None}
    return _with_content(last, {**_map_of(last), **system})


def _is_core(entry: Mapping[str, Any]) -> bool:
    return CORE in entry["name"]


def _map_of(report: Report) -> dict[str, Any]:
    return msgspec.json.decode(report.document, type=dict[str, Any])


def _with_content(report: Report, content: Mapping[str, Any]) -> Report:
    sysapps = content.get("sysapps")
    known = None if sysapps is None else tuple(msgspec.convert(sysapps, list[AppVersion]))
    return msgspec.structs.replace(
        report,
        document=msgspec.json.encode(content),
        reported=msgspec.structs.replace(report.reported, sysapps=known),
    )
