"""Windows: when nodes may apply a version."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from cloud.core.durations import parse_duration
from cloud.errors import Invalid

WINDOWS_LIMIT = 20
"""Windows of one policy."""

OF_NODE = "node"
"""A time zone: that of the node."""

TIME_ZONE_LABEL = "time-zone"
"""Label with the time zone of a node; a label has no slash, `Europe.Berlin` is Europe/Berlin."""

_LONGEST = timedelta(days=7)
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A window that opens by a cron expression (*schedule*), for *duration*.

    *time_zone* is an IANA name such as `Europe/Berlin`, or `node` for that of each node, which its
    label `time-zone` has (UTC without one). The clock of that zone counts: at the change to summer
    time a window whose start is skipped opens at the next hour, one that comes twice opens once.
    Those whose minute or hour begins with a star follow the clock, as with cron: they do not open
    in an hour that is skipped, and open again in one that comes twice.
    """

    schedule: str
    duration: str
    time_zone: str = "UTC"

    @property
    def length(self) -> timedelta:
        """The duration."""
        return parse_duration("windows.duration", self.duration)


def check_windows(field: str, windows: tuple[Window, ...]) -> None:
    """Refuse windows that never open or whose time zone is not known; Invalid names the field."""
    if len(windows) > WINDOWS_LIMIT:
        raise Invalid(field, f"{len(windows)} of them, more than the limit of {WINDOWS_LIMIT}")
    for index, window in enumerate(windows):
        place = f"{field}[{index}]"
        try:
            next(CronSim(window.schedule, _SOME_TIME))
        except (CronSimError, StopIteration) as error:
            reason = f"{window.schedule[:80]!r} is not a cron expression such as '0 2 * * 1-5'"
            raise Invalid(f"{place}.schedule", reason) from error
        length = parse_duration(f"{place}.duration", window.duration)
        if not timedelta() < length <= _LONGEST:
            raise Invalid(f"{place}.duration", f"is not between 1s and {_LONGEST.days}d")
        if window.time_zone != OF_NODE and time_zone(window.time_zone) is None:
            raise Invalid(f"{place}.timeZone", f"{window.time_zone[:80]!r} is not a time zone")


@lru_cache(maxsize=1024)
def time_zone(name: str) -> ZoneInfo | None:
    """The time zone of that IANA name; None where there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


def zone_of(window: Window, labels: Mapping[str, str]) -> str:
    """The name of the time zone of *window* on a node with *labels*; UTC where it has none."""
    if window.time_zone != OF_NODE:
        return window.time_zone
    name = labels.get(TIME_ZONE_LABEL, "").replace(".", "/")
    return name if name and time_zone(name) else "UTC"


def opens_at(
    windows: Sequence[Window], labels: Mapping[str, str], now: datetime
) -> tuple[datetime, str] | None:
    """When a node with *labels* may apply a version again, and in which time zone; None for now."""
    if not windows:
        return None
    openings = []
    for window in windows:
        zone = zone_of(window, labels)
        minute = now.replace(second=0, microsecond=0)
        is_open, opening = _at(window, zone, minute)
        if is_open:
            return None
        openings.append((opening, zone))
    return min(openings)


@lru_cache(maxsize=4096)
def _at(window: Window, zone: str, minute: datetime) -> tuple[bool, datetime]:
    """Whether the window is open at that minute, and when it opens next."""
    is_open = _opening_after(window, zone, minute - window.length) <= minute
    return is_open, _opening_after(window, zone, minute)


def _opening_after(window: Window, zone: str, moment: datetime) -> datetime:
    """When the window opens next; in an hour that comes twice the schedule begins with the first.

    So what it finds there can be earlier than *moment*.
    """
    found = CronSim(window.schedule, moment.astimezone(time_zone(zone)))
    return next(own for local in found if (own := local.astimezone(UTC)) > moment)
