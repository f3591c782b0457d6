"""Durations as operators write them: `90s`, `10m`, `1h30m`, `7d`."""

import re
from datetime import timedelta
from functools import lru_cache

from cloud.errors import Invalid

LONGEST = timedelta(days=365)
"""The longest duration of a policy."""

_DURATION = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?(?:(\d{1,8})s)?")


@lru_cache(maxsize=1024)
def parse_duration(field: str, text: str) -> timedelta:
    """The duration that *text* stands for; Invalid names *field*. `0` and `0s` are none."""
    found = _DURATION.fullmatch(text)
    if text != "0" and (not text or found is None):
        raise Invalid(field, f"{text[:40]!r} is not a duration such as 90s, 10m or 1h30m")
    days, hours, minutes, seconds = (
        int(part or 0) for part in (found.groups() if found else "0000")
    )
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if duration > LONGEST:
        raise Invalid(field, f"is longer than {LONGEST.days} days")
    return duration
