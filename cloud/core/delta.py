"""The difference between what a node reports it runs and what it should run."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cloud.core.app import AppVersion
from cloud.core.desired import Desired
from cloud.core.properties import NO_PROPERTIES, Properties
from cloud.core.report import Report, Reported

Delta = Mapping[str, Any]
"""A JSON merge patch (RFC 7396) against the report: `{}`, or the whole desired state."""

PROPERTIES = "nodeprops"
"""Key of properties in a delta, as in a report."""

Apps = tuple[AppVersion, ...]


def delta_for(report: Report, desired: Desired, properties: Properties) -> Delta:
    """As `diff`, with the wanted *properties* of the node: they too are sent whole or not at all.

    They are there once any were wanted, and equal when the node reports the very same.
    """
    is_same = not properties.is_managed or properties.desire == (report.properties or {})
    if is_same and is_applied(report.reported, desired):
        return {}
    return everything(desired, properties)


def diff(reported: Reported, desired: Desired) -> Delta:
    """Delta that makes *reported* what is *desired*; `{}` when it is already.

    All or nothing: agents replace what they hold by any delta that is not empty, so a part of the
    desired state would make them drop the rest. The lists are in the order of *desired*, always the
    same, and compared without regard to it. A list the node does not know yet (None) counts as
    different only when something is desired. System apps are left alone where none is desired:
    sent an empty list, an agent would delete those it was installed with.
    """
    return {} if is_applied(reported, desired) else everything(desired)


def is_applied(reported: Reported, desired: Desired) -> bool:
    """Return whether `diff` finds nothing to change."""
    return _same(reported.apps, desired.apps) and _same_system(reported.sysapps, desired.sysapps)


def everything(desired: Desired, properties: Properties = NO_PROPERTIES) -> Delta:
    """All that is wanted of a node, as a delta."""
    delta: dict[str, Any] = {"apps": listed(desired.apps)}
    if desired.sysapps:
        delta["sysapps"] = listed(desired.sysapps)
    if properties.is_managed:
        delta[PROPERTIES] = properties.desire
    return delta


def apply(reported: Reported, delta: Delta) -> Reported:
    """The report of a node that has applied *delta*; the inverse of `diff`."""
    if not delta:
        return reported
    keys = delta.keys() - {PROPERTIES}
    lists = {key: tuple(AppVersion(**app) for app in delta[key]) for key in keys}
    return msgspec.structs.replace(reported, **lists)


def _same_system(reported: Apps | None, desired: Apps) -> bool:
    return not desired or _same(reported, desired)


def _same(reported: Apps | None, desired: Apps) -> bool:
    if reported is None:
        return not desired
    return reported == desired or sorted(reported) == sorted(desired)


def listed(apps: Apps) -> list[dict[str, str]]:
    """*apps* as deltas and answers hold them."""
    return [{"name": app.name, "version": app.version} for app in apps]
