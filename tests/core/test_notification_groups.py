"""When messages are due: thresholds and quiet times over random streams of events."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.event import FAILED, REFUSED, Event
from cloud.core.notification_groups import (
    NAMES_LIMIT,
    Group,
    Summary,
    cause_of,
    elapsed,
    name_of,
    noted,
)
from cloud.core.notification_rule import NotificationRuleSpec, Threshold, ThresholdUnit
from tests.core.strategies import START

CAUSE = "image not found"


def rule(
    count: int = 1,
    of: ThresholdUnit = ThresholdUnit.EVENTS,
    minutes: int = 10,
    gather: int = 30,
    quiet: int = 60,
) -> NotificationRuleSpec:
    threshold = Threshold(count, of, minutes)
    return NotificationRuleSpec(
        ("mail",), ("*",), threshold=threshold, gather_seconds=gather, quiet_minutes=quiet
    )


def failed(name: str = "n1", count: int = 1) -> Event:
    text = f"{name} failed: {CAUSE}"
    return Event(FAILED, "default", "node", name, START, text, {"cause": CAUSE}, count=count)


@dataclass
class Simulation:
    """One group, as the server treats it: events as they come, and its timer."""

    rule: NotificationRuleSpec
    group: Group | None = None
    sent: list[tuple[datetime, Summary]] = field(default_factory=list)

    def pass_until(self, now: datetime) -> None:
        while self.group is not None and self.group.due <= now:
            due = self.group.due
            self.group, summary = elapsed(self.group, self.rule, now=due)
            if summary is not None:
                self.sent.append((due, summary))

    def happen(self, now: datetime, event: Event) -> None:
        self.pass_until(now)
        self.group = noted(self.group, self.rule, event, CAUSE, now=now)


def run(spec: NotificationRuleSpec, events: Sequence[tuple[datetime, Event]]) -> Simulation:
    simulation = Simulation(spec)
    for now, event in events:
        simulation.happen(now, event)
    simulation.pass_until(START + timedelta(days=365))
    return simulation


def test_what_fails_together_is_one_message() -> None:
    events = [(START + timedelta(milliseconds=n), failed(f"n{n}")) for n in range(212)]
    (sent,) = run(rule(), events).sent
    assert sent[0] == START + timedelta(seconds=30)
    assert (sent[1].count, len(sent[1].names), sent[1].is_digest) == (212, 212, False)


def test_what_comes_in_the_quiet_time_is_summed_up_at_its_end() -> None:
    minute = timedelta(minutes=1)
    events = [(START + n * minute, failed(f"n{n}")) for n in range(5)]
    first, digest = run(rule(), events).sent
    assert (first[1].count, digest[1].count, digest[1].is_digest) == (1, 4, True)
    assert digest[0] - first[0] == timedelta(hours=1)


def test_a_threshold_counts_different_nodes_within_its_window() -> None:
    three = rule(3, ThresholdUnit.NODES)
    minute = timedelta(minutes=1)
    same = [(START + n * minute, failed("n1")) for n in range(9)]
    assert run(three, same).sent == []
    spread = [(START + 6 * n * minute, failed(f"n{n}")) for n in range(9)]
    assert run(three, spread).sent == []
    (sent,) = run(three, [(START + n * minute, failed(f"n{n % 3}")) for n in range(4)]).sent[:1]
    assert sent[1].count >= 3


def test_events_that_were_folded_count_as_many() -> None:
    ((_, summary),) = run(rule(5), [(START, failed(count=7))]).sent
    assert (summary.count, summary.names) == (7, ("n1",))


def test_a_group_stays_bounded() -> None:
    group = noted(None, rule(), failed(), CAUSE, now=START)
    for number in range(NAMES_LIMIT + 5):
        group = noted(group, rule(), failed(f"n{number}"), CAUSE, now=START)
    assert (len(group.names), group.has_more_names) == (NAMES_LIMIT, True)
    assert group.count == NAMES_LIMIT + 6
    counting = None
    for number in range(3000):
        event = failed(f"n{number % 999}")
        counting = noted(counting, rule(1000, ThresholdUnit.NODES), event, CAUSE, now=START)
    assert counting is not None
    assert len(counting.seen) == 999


def test_refused_devices_are_grouped_by_batch_and_reason() -> None:
    data = {"fingerprintValue": "SN-1", "reason": "QuotaReached"}
    event = Event(REFUSED, "default", "batch", "shops", START, "refused", data)
    assert (cause_of(event), name_of(event)) == ("shops: QuotaReached", "SN-1")


def test_a_group_is_read_back_as_it_was_stored() -> None:
    group = noted(None, rule(2), failed(), CAUSE, now=START)
    assert msgspec.json.decode(msgspec.json.encode(group), type=Group) == group


STREAMS = st.lists(
    st.tuples(st.integers(0, 7200), st.integers(1, 12), st.integers(1, 3)), min_size=1, max_size=60
).map(
    lambda made: [
        (START + timedelta(seconds=second), failed(f"n{node}", count))
        for second, node, count in sorted(made)
    ]
)
RULES = st.builds(
    rule,
    st.integers(1, 6),
    st.sampled_from(ThresholdUnit),
    st.integers(1, 30),
    st.integers(0, 120),
    st.integers(1, 60),
)


@given(STREAMS, RULES)
def test_between_two_messages_of_a_group_is_the_quiet_time(
    events: list[tuple[datetime, Event]], spec: NotificationRuleSpec
) -> None:
    sent = run(spec, events).sent
    for (before, _), (after, _) in pairwise(sent):
        assert after - before >= timedelta(minutes=spec.quiet_minutes)


@given(STREAMS, RULES)
def test_each_event_is_in_at_most_one_message_and_none_of_a_message_is_lost(
    events: list[tuple[datetime, Event]], spec: NotificationRuleSpec
) -> None:
    summed = sum(summary.count for _, summary in run(spec, events).sent)
    total = sum(event.count for _, event in events)
    assert summed <= total
    if spec.threshold.count == 1:
        assert summed == total


@given(STREAMS, RULES)
def test_the_first_message_is_sent_if_and_only_if_a_window_reaches_the_threshold(
    events: list[tuple[datetime, Event]], spec: NotificationRuleSpec
) -> None:
    window = timedelta(minutes=spec.threshold.minutes)
    reached = None
    for now, _ in events:
        within = [event for at, event in events if now - window < at <= now]
        if spec.threshold.of is ThresholdUnit.NODES:
            measure = len({event.name for event in within})
        else:
            measure = sum(event.count for event in within)
        if measure >= spec.threshold.count:
            reached = now
            break
    sent = run(spec, events).sent
    assert (not sent) == (reached is None)
    if reached is not None:
        assert sent[0][0] == reached + timedelta(seconds=spec.gather_seconds)
