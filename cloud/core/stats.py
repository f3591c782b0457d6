"""A node's report for people: quantities in one unit, and their usage."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from cloud.core.quantities import cpu_text, memory_text, parse_quantity
from cloud.core.report import FAILED, StoredReport
from cloud.core.times import time_text

_TEXT = {"cpu": cpu_text, "memory": memory_text}
_STATS_KEYS = frozenset({"usage", "capacity", "percent"})
_LISTS = ("apps", "sysapps", "appstats", "sysappstats")
_MAPS = ("node", "nodestats", "core")

UNKNOWN = "Unknown"
"""Status of every app of a node that is not ready."""


def report_view(stored: StoredReport | None, *, ready: bool) -> dict[str, Any]:
    """The `report` of "Query Node Stats"; all empty for a node that never reported.

    What the page does not name is passed on as the node sent it, and so is what cannot be read as
    a quantity.
    """
    document = msgspec.json.decode(stored.report.document, type=dict[str, Any]) if stored else {}
    view: dict[str, Any] = {"time": time_text(stored.received) if stored else ""}
    view.update((key, document.get(key) or {}) for key in _MAPS)
    view.update((key, document.get(key) or []) for key in _LISTS)
    view.update((key, value) for key, value in document.items() if key not in view)
    usage = (
        msgspec.json.decode(stored.usage, type=dict[str, Any]) if stored and stored.usage else {}
    )
    view["node"] = _one_host(view["node"], is_host=not _is_by_host(view["node"]))
    view["nodestats"] = _nodestats_view(view["nodestats"], usage.get("nodestats") or {})
    for key in ("appstats", "sysappstats"):
        view[key] = [_app_stats_view(entry, ready=ready) for entry in view[key]]
    return view


def _is_by_host(node: Mapping[str, Any]) -> bool:
    """Return whether *node* maps host names to hosts, or is itself the only host."""
    return bool(node) and all(isinstance(value, Mapping) for value in node.values())


def _is_stats(stats: Mapping[str, Any]) -> bool:
    return not _STATS_KEYS.isdisjoint(stats)


def _one_host(hosts: Mapping[str, Any], *, is_host: bool) -> Any:
    """The only host of *hosts*, where there is one; several stay a map by host name."""
    return next(iter(hosts.values())) if len(hosts) == 1 and not is_host else hosts


def _nodestats_view(reported: Mapping[str, Any], later: Mapping[str, Any]) -> Any:
    stats = _one_host(reported, is_host=_is_stats(reported))
    newer = _one_host(later, is_host=_is_stats(later))
    if not isinstance(stats, Mapping) or not isinstance(newer, Mapping) or not (stats or newer):
        return stats
    if _is_stats(stats) or (not stats and _is_stats(newer)):
        return _host_stats_view(stats, newer if _is_stats(newer) else {})
    hosts = stats or newer
    return {host: _host_stats_view(own, newer.get(host, {})) for host, own in hosts.items()}


def _host_stats_view(stats: Any, newer: Any) -> Any:
    """One host's usage, capacity and the part of it in use; *newer* overrides."""
    if not isinstance(stats, Mapping):
        return stats
    parts = {}
    for part in ("usage", "capacity"):
        parts[part] = {
            **_mapping(stats.get(part)),
            **(_mapping(newer.get(part)) if isinstance(newer, Mapping) else {}),
        }
    percent = {
        **_mapping(stats.get("percent")),
        **{key: _part_used(parts["usage"].get(key), parts["capacity"].get(key)) for key in _TEXT},
    }
    shown = {part: _normalised(quantities) for part, quantities in parts.items()}
    return {**stats, **shown, "percent": percent}


def _part_used(usage: Any, capacity: Any) -> float:
    """Between 0 and 1, to four digits; 0 where it cannot be known."""
    used, whole = _quantity(usage), _quantity(capacity)
    if used is None or not whole:
        return 0.0
    return min(round(float(used / whole), 4), 1.0)


def _normalised(quantities: Mapping[str, Any]) -> dict[str, Any]:
    """*quantities* with cpu in cores and memory in bytes."""
    shown = dict(quantities)
    for key, text in _TEXT.items():
        quantity = _quantity(shown.get(key))
        if quantity is not None:
            shown[key] = text(quantity)
    return shown


def _quantity(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return parse_quantity(str(value))


def _app_stats_view(entry: Mapping[str, Any], *, ready: bool) -> dict[str, Any]:
    instances = _mapping(entry.get("instances"))
    # Stock agents give no status to what they could not apply.
    status = entry.get("status") or (FAILED if entry.get("cause") else "")
    return {
        **entry,
        "status": status if ready else UNKNOWN,
        "cause": entry.get("cause") or "",
        "instances": {name: _instance_view(instance) for name, instance in instances.items()},
    }


def _instance_view(instance: Any) -> Any:
    if not isinstance(instance, Mapping) or not isinstance(instance.get("usage"), Mapping):
        return instance
    return {**instance, "usage": _normalised(instance["usage"])}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
