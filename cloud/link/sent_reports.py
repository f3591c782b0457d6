"""Reports of one node that came together: of those that show the same the last one is stored."""

from datetime import datetime, timedelta

import msgspec

from broker.messages import Message
from cloud.core.report import Report
from cloud.link.wire import Meta, same_answer


class SentReport(msgspec.Struct, frozen=True):
    """A report with what came beside it; not carried out yet."""

    report: Report
    encoding: str
    source: str
    interval: timedelta | None
    meta: Meta
    now: datetime

    def is_repeated_by(self, later: "SentReport") -> bool:
        """Whether *later*, the next report of the node, leaves nothing of this one to be stored.

        It is not older, and shows no other state; documents and usage replace one another anyway.
        """
        one, other = self.report, later.report
        return (
            one.reported == other.reported
            and one.stats == other.stats
            and one.properties == other.properties
            and one.offers == other.offers
            and one.encryption == other.encryption
            and (self.encoding, self.source) == (later.encoding, later.source)
            and (self.interval, one.agent) == (later.interval, other.agent)
            and not other.order.is_older_than(one.order)
        )

    def answered_as(self, answer: Message) -> Message:
        """The answer to this report, which a later one repeats that was given *answer*."""
        return same_answer(answer, self.now, meta=self.meta)
