"""Versions that rollouts offer to nodes, and the consent of nodes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from msgspec.structs import replace

from cloud.core.delta import Delta, everything
from cloud.core.desired import Desired
from cloud.core.offers import ACCEPTED, DEFERRED, NodeOffer, OfferReport, is_reported
from cloud.core.properties import Properties
from cloud.core.report import Report
from cloud.core.rollout import Assignment, AssignmentState, Rollout
from cloud.core.rollout_windows import opens_at
from cloud.core.times import time_text

OFFER = "offer"
"""Key of offers in a delta."""

REASON_LIMIT = 200
"""Characters of a device's reason that are stored."""


@dataclass(frozen=True, slots=True)
class OfferedVersion:
    """A version that a rollout offers to a node, by the node's assignment."""

    rollout: Rollout
    assignment: Assignment

    def offer(self, labels: Mapping[str, str], now: datetime) -> NodeOffer:
        """The offer for a node with *labels*."""
        rules, consent = self.rollout.rules, self.rollout.rules.consent
        opening = None if self.rollout.is_emergency else opens_at(rules.windows, labels, now)
        latest = (self.assignment.offered or now) + consent.longest if consent else None
        return NodeOffer(
            self.assignment.app,
            self.rollout.target,
            not_before=time_text(opening[0]) if opening else "",
            consent=consent is not None,
            latest=time_text(latest) if latest else "",
        )


def offered_versions(
    rollouts: Mapping[str, Rollout], assignments: Iterable[Assignment]
) -> Sequence[OfferedVersion]:
    """What the newest *rollouts*, by app, offer to a node with these *assignments*."""
    return [
        OfferedVersion(rollout, row)
        for row in sorted(assignments, key=lambda row: row.app)
        if row.state is AssignmentState.OFFERED
        and (rollout := rollouts.get(row.app)) is not None
        and rollout.state.is_open
    ]


def with_offers(
    delta: Delta,
    report: Report,
    desired: Desired,
    properties: Properties,
    offers: Sequence[NodeOffer],
) -> Delta:
    """*delta* with all *offers* of the node, for one that knows offers.

    Where there is no other difference it is sent because of them.
    """
    if report.offers is None or (not delta and is_reported(offers, report.offers)):
        return delta
    listed = [msgspec.to_builtins(offer) for offer in offers]
    return {**(delta or everything(desired, properties)), OFFER: listed}


def answered(assignment: Assignment, target: str, reported: Sequence[OfferReport]) -> Assignment:
    """*assignment* with the node's answer for *target*; the same object if that changes nothing.

    An answer that is missing withdraws an earlier one.
    """
    if assignment.state is not AssignmentState.OFFERED:
        return assignment
    own = [one for one in reported if (one.name, one.version) == (assignment.app, target)]
    if not own:
        return assignment
    answer = own[0]
    until = _moment(answer.until) if answer.answer == DEFERRED else None
    after = replace(
        assignment,
        accepted=answer.answer == ACCEPTED,
        deferred=until,
        reason=answer.reason[:REASON_LIMIT] if until else "",
    )
    return assignment if after == assignment else after


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
