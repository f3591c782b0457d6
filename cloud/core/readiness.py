"""Whether a node is there, from when it last said something."""

from datetime import datetime, timedelta

PATIENCE = timedelta(seconds=20)
"""How late the next message of a node may be."""


def is_ready(last_seen: datetime | None, now: datetime, *, every: timedelta) -> bool:
    """Say whether a node heard from at *last_seen* (None: never) counts as connected at *now*.

    *every* is the time between two of its reports.
    """
    return last_seen is not None and now - last_seen < every + PATIENCE
