"""The state of a node, by the time and the interval of its reports.

How long a node may be silent follows from its own interval, so that one late report is no alarm and
a node that reports once an hour is not missed after a minute. What is shown of a node is the same
from every server, as nothing but what is stored counts; connections are evidence beside it.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

STALE_AFTER_INTERVALS = 3
"""Intervals of silence after which a node is stale."""

OFFLINE_AFTER_INTERVALS = 6
"""Intervals of silence after which it is offline."""

LEAST_INTERVAL = timedelta(seconds=10)
LONGEST_INTERVAL = timedelta(days=1)
"""Who reports less often than once a day is not waited for longer than who does."""

_ON_TIME = 4
"""A report that is late by less than a fourth of the interval counts as in time."""

_NO_TIME = timedelta()
_FORGETTING = 16
"""A gap counts for a sixteenth less with each report after it."""


class NodeState(StrEnum):
    """The state of a node, the best first."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    NEVER = "never"


REASONS = {
    NodeState.ONLINE: f"heard within {STALE_AFTER_INTERVALS} intervals",
    NodeState.STALE: f"silent for {STALE_AFTER_INTERVALS} intervals",
    NodeState.OFFLINE: f"silent for {OFFLINE_AFTER_INTERVALS} intervals",
    NodeState.NEVER: "never reported",
}

REVOKED = "its certificates were revoked"
"""The reason of a node that cannot connect any more."""


class ReportCadence(msgspec.Struct, frozen=True):
    """How often a node reports, as far as it has shown.

    *longest* is the longest gap between two reports, and *interval* the next longest, as one
    outage is no evidence; both fade. *since* is when the node was last heard after it had been
    missed; None where that was with the report this belongs to. *reported*: the interval that its
    last report named, 0 where it named none.
    """

    interval: timedelta = timedelta(seconds=20)
    longest: timedelta = timedelta()
    since: datetime | None = None
    reported: timedelta = timedelta()


DEFAULT_CADENCE = ReportCadence()
"""That of a node of which nothing else is known."""


class Heard(msgspec.Struct, frozen=True):
    """When a node was last heard, by the server's clock: in a report, in stats."""

    report: datetime
    stats: datetime | None = None
    cadence: ReportCadence = DEFAULT_CADENCE

    @property
    def last(self) -> datetime:
        """The later of both."""
        return max(self.report, self.stats or self.report)

    @property
    def since(self) -> datetime:
        """When it was last heard after it had been missed."""
        return self.cadence.since or self.report


class NodeStatus(msgspec.Struct, frozen=True):
    """The state of a node, and since when it is that; None: since it was made."""

    state: NodeState
    since: datetime | None

    @property
    def is_ready(self) -> bool:
        """Return whether the node counts as connected."""
        return self.state is NodeState.ONLINE


def node_status(heard: Heard | None, now: datetime, *, is_revoked: bool = False) -> NodeStatus:
    """How a node stands at *now* that was *heard* like this (None: never).

    One whose certificates are revoked is offline from when it was heard last: it cannot connect.
    """
    if heard is None:
        return NodeStatus(NodeState.NEVER, None)
    if is_revoked:
        return NodeStatus(NodeState.OFFLINE, heard.last)
    last, interval = heard.last, heard.cadence.interval
    stale_at = last + STALE_AFTER_INTERVALS * interval
    if now < stale_at:
        return NodeStatus(NodeState.ONLINE, heard.since)
    offline_at = last + OFFLINE_AFTER_INTERVALS * interval
    if now < offline_at:
        return NodeStatus(NodeState.STALE, stale_at)
    return NodeStatus(NodeState.OFFLINE, offline_at)


def next_change(heard: Heard | None, now: datetime, *, is_revoked: bool = False) -> datetime | None:
    """When `node_status` is another one after *now*, if the node is not heard; None: never."""
    if heard is None or is_revoked:
        return None
    for intervals in (STALE_AFTER_INTERVALS, OFFLINE_AFTER_INTERVALS):
        ends = heard.last + intervals * heard.cadence.interval
        if now < ends:
            return ends
    return None


def next_cadence(
    heard: Heard | None, now: datetime, *, sent: timedelta, reported: timedelta | None = None
) -> ReportCadence:
    """The cadence of a node that reports at *now*, after it was *heard* like this (None: never).

    *sent* is the report interval that it was sent, *reported* the one that its report names, if
    anything, which counts instead: it is never expected sooner. Saying less than before is believed
    at once, whatever its gaps were; what it was sent it may not do yet.
    """
    named = reported or _NO_TIME
    least = max(reported or sent, LEAST_INTERVAL)
    if heard is None:
        return ReportCadence(min(least, LONGEST_INTERVAL), since=now, reported=named)
    cadence, gap = heard.cadence, now - heard.report
    if gap <= least + least // _ON_TIME:
        if (
            cadence.interval == cadence.longest == least and cadence.reported == named
        ) and cadence.since:
            return cadence  # nearly every report is such a one
        gap = min(max(gap, _NO_TIME), least)
    was_missed = now - heard.last >= STALE_AFTER_INTERVALS * cadence.interval
    since = now if was_missed else heard.since
    if reported and reported < (cadence.reported or cadence.interval):
        believed = min(least, LONGEST_INTERVAL)
        return ReportCadence(believed, believed, since, named)
    gaps = sorted((gap, *_faded(cadence, gap, least)))
    interval = min(max(gaps[1], least), LONGEST_INTERVAL)
    return ReportCadence(interval, max(gaps[2], interval), since, named)


def heard_again(heard: Heard, now: datetime) -> Heard:
    """*heard*, once stats of the node have come at *now*."""
    cadence, quiet = heard.cadence, STALE_AFTER_INTERVALS * heard.cadence.interval
    times = [one for one in (heard.report, heard.stats) if one is not None]
    if not any(now - one < quiet for one in times):
        cadence = msgspec.structs.replace(cadence, since=now)
    return Heard(heard.report, now, cadence)


def _faded(cadence: ReportCadence, gap: timedelta, least: timedelta) -> tuple[timedelta, timedelta]:
    """The gaps of *cadence* after another *gap*.

    What comes sooner than expected, as an app has changed, makes forget no more than its time.
    """
    if gap >= least:
        return (
            cadence.longest - cadence.longest // _FORGETTING,
            cadence.interval - cadence.interval // _FORGETTING,
        )
    kept = 1 - gap / least / _FORGETTING
    return cadence.longest * kept, cadence.interval * kept
