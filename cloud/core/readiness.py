"""Whether a node is there, from when it last said something."""

from datetime import datetime, timedelta

OFFLINE_AFTER = timedelta(seconds=40)
"""A node is not ready this long after its last message: the usual interval and 20 seconds more."""


def is_ready(last_seen: datetime | None, now: datetime) -> bool:
    """Say whether a node heard from at *last_seen* (None: never) counts as connected at *now*."""
    return last_seen is not None and now - last_seen < OFFLINE_AFTER
