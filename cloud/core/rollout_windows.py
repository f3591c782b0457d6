"""Windows: when nodes may apply a version."""

from zoneinfo import ZoneInfo

import msgspec

from cloud.core.durations import parse_duration
from cloud.errors import Invalid

WINDOWS_LIMIT = 20
"""Windows of one policy."""

OF_NODE = "node"
"""A time zone: that of the node."""


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A window that opens by a cron expression (*schedule*), for *duration*.

    *time_zone* is an IANA name such as `Europe/Berlin`, or `node` for that of each node.
    """

    schedule: str
    duration: str
    time_zone: str = "UTC"


def check_windows(field: str, windows: tuple[Window, ...]) -> None:
    """Refuse windows that never open or whose time zone is not known; Invalid names the field."""
    if len(windows) > WINDOWS_LIMIT:
        raise Invalid(field, f"{len(windows)} of them, more than the limit of {WINDOWS_LIMIT}")
    for index, window in enumerate(windows):
        place = f"{field}[{index}]"
        if not parse_duration(f"{place}.duration", window.duration):
            raise Invalid(f"{place}.duration", "is 0: the window would never be open")
        if window.time_zone != OF_NODE and time_zone(window.time_zone) is None:
            raise Invalid(f"{place}.timeZone", f"{window.time_zone[:80]!r} is not a time zone")


def time_zone(name: str) -> ZoneInfo | None:
    """The time zone of that IANA name; None where there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None
