"""The content of a delta, as the node reads it; pure."""

from collections.abc import Mapping
from typing import Any

from agent_sim.fetching import WantedApp
from agent_sim.model import HeldApp


def wanted_apps(content: Any, held: Mapping[str, HeldApp]) -> tuple[WantedApp, ...] | None:
    """The apps of a delta; an absent list leaves the present one. None: not a delta."""
    if not isinstance(content, dict):
        return None
    result: dict[str, WantedApp] = {}
    for field_name, is_system in (("sysapps", True), ("apps", False)):
        if field_name not in content:
            mine = [app for app in held.values() if app.is_system is is_system]
            result |= {app.name: WantedApp(app.name, app.version, is_system) for app in mine}
            continue
        entries = content[field_name]
        if not isinstance(entries, list):
            return None
        for entry in entries:
            match entry:
                case {"name": str(name), "version": str(version)}:
                    result[name] = WantedApp(name, version, is_system)
                case _:
                    return None
    return tuple(result.values())


def wanted_properties(
    content: Mapping[str, Any], before: Mapping[str, str] | None
) -> Mapping[str, str] | None:
    """All that is wanted of the node; as *before* where the delta has no value."""
    match content.get("nodeprops"):
        case dict(wanted):
            return {str(key): str(value) for key, value in wanted.items()}
        case _:
            return before


def sequence_of(value: Any) -> int | None:
    """The `seq` of a message's meta; None where it has none."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if type(value) is int else None
