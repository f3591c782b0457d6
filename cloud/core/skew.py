"""The offset between a node's clock and the server's, by its last report."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cloud.core.readiness import Heard
from cloud.core.report import Order, StoredReport

LIMIT = timedelta(seconds=60)
"""The time that a report may take, and clocks may differ, without a condition."""


@dataclass(frozen=True, slots=True)
class ClockCondition:
    """Whether a node's clock is off: `True`, `False` or `Unknown`; seconds where they are known."""

    status: str
    skew_seconds: int | None
    message: str
    type: str = "ClockSkew"


class ReportedTime(msgspec.Struct):
    """The fields of a report about the node's clock."""

    time: Any = None


_UNCOUNTED = Order()
"""Of reports of stock agents, which have no numbers."""

_FIRST = "its first report since it was missed may hold an older time; the next one decides"

_REPORTED_TIME = msgspec.json.Decoder(ReportedTime)


def skew_of(stored: StoredReport | None) -> timedelta | None:
    """The node's clock less the server's when the report came; None where not reported.

    The time that the report was on its way counts as lateness.
    """
    if stored is None:
        return None
    reported = _REPORTED_TIME.decode(stored.report.document).time
    try:
        moment = datetime.fromisoformat(reported)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment - stored.received


def clock_condition(stored: StoredReport | None, heard: Heard | None) -> ClockCondition:
    """The condition `ClockSkew` of a node: `True` where its clock is off by more than a minute.

    Stock agents begin with a report from before they were restarted, and its time: after a node was
    missed it is judged from its second report on, and lateness of an interval more is none.
    """
    skew = skew_of(stored)
    if skew is not None and stored and heard and stored.report.order == _UNCOUNTED:
        if heard.since == heard.report:
            return ClockCondition("Unknown", None, _FIRST)
        if -LIMIT - heard.cadence.interval <= skew < -LIMIT:
            return ClockCondition("False", round(skew.total_seconds()), "")
    if skew is None:
        return ClockCondition("Unknown", None, "the node has not reported its time")
    seconds = round(skew.total_seconds())
    if abs(skew) <= LIMIT:
        return ClockCondition("False", seconds, "")
    direction = "ahead of" if seconds > 0 else "behind"
    message = f"the node's clock is {abs(seconds)} s {direction} the server's"
    return ClockCondition("True", seconds, message)
