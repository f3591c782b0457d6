from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud.core.readiness import (
    LEAST_INTERVAL,
    LONGEST_INTERVAL,
    OFFLINE_AFTER_INTERVALS,
    STALE_AFTER_INTERVALS,
    Heard,
    NodeState,
    NodeStatus,
    ReportCadence,
    next_cadence,
    next_change,
    node_status,
)
from tests.core.strategies import START

DEFAULT = timedelta(seconds=20)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
FROM_BEST = (NodeState.ONLINE, NodeState.STALE, NodeState.OFFLINE)

spans = st.timedeltas(timedelta(0), timedelta(days=10))
intervals = st.timedeltas(LEAST_INTERVAL, LONGEST_INTERVAL)
paces = st.builds(ReportCadence, intervals, spans, st.just(START) | st.none())
ages = st.builds(Heard, st.just(START), st.none() | spans.map(lambda span: START + span), paces)


def reporting(
    moments: Sequence[datetime],
    *,
    sent: timedelta = DEFAULT,
    reported: timedelta | None = None,
    heard: Heard | None = None,
) -> Heard:
    """A node that reported at *moments*; *reported* is the interval that its reports name."""
    for now in moments:
        heard = Heard(now, None, next_cadence(heard, now, sent=sent, reported=reported))
    assert heard is not None
    return heard


def every(interval: timedelta, count: int, start: datetime = START) -> list[datetime]:
    return [start + number * interval for number in range(count)]


def test_a_node_that_never_reported_is_not_ready() -> None:
    assert node_status(None, START) == NodeStatus(NodeState.NEVER, None)
    assert not node_status(None, START).is_ready


def test_the_usual_node_is_online_for_a_minute_and_offline_after_two() -> None:
    heard = reporting([START])
    quiet, gone = START + timedelta(seconds=60), START + timedelta(seconds=120)
    assert node_status(heard, quiet - MICROSECOND) == NodeStatus(NodeState.ONLINE, START)
    assert node_status(heard, quiet) == NodeStatus(NodeState.STALE, quiet)
    assert node_status(heard, gone - MICROSECOND) == NodeStatus(NodeState.STALE, quiet)
    assert node_status(heard, gone) == NodeStatus(NodeState.OFFLINE, gone)
    assert [node_status(heard, moment).is_ready for moment in (START, quiet, gone)] == [1, 0, 0]


def test_a_node_that_reports_once_an_hour_is_waited_for_once_that_has_shown() -> None:
    heard = reporting(every(HOUR, 4))
    assert node_status(heard, heard.report + 2 * HOUR).state is NodeState.ONLINE
    assert node_status(heard, heard.report + 7 * HOUR).state is NodeState.OFFLINE


def test_a_longer_reported_interval_counts_at_once() -> None:
    heard = reporting([START], sent=HOUR)
    assert node_status(heard, START + 3 * HOUR - MICROSECOND).state is NodeState.ONLINE


def test_a_shorter_reported_interval_counts_at_once() -> None:
    slow = reporting(every(HOUR, 5), reported=HOUR)
    assert slow.cadence.interval == HOUR
    now = slow.report + HOUR
    quick = reporting([now], reported=DEFAULT, heard=slow)
    assert (quick.cadence.interval, quick.since) == (DEFAULT, START)
    assert node_status(quick, now + 3 * DEFAULT).state is NodeState.STALE
    first_word = reporting([now], reported=DEFAULT, heard=reporting(every(HOUR, 5)))
    assert first_word.cadence.interval == DEFAULT


def test_a_node_is_expected_at_the_interval_it_has_shown() -> None:
    heard = reporting(every(10 * DEFAULT, 10), reported=DEFAULT)
    assert heard.cadence.interval > 9 * DEFAULT


def test_the_interval_sent_to_a_node_is_not_yet_the_measured_interval() -> None:
    slow = reporting(every(HOUR, 5), sent=HOUR)
    assert reporting([slow.report + HOUR], sent=DEFAULT, heard=slow).cadence.interval > 0.9 * HOUR


def test_the_interval_sent_to_a_node_counts_from_its_next_report() -> None:
    sent = timedelta(seconds=300)
    heard = reporting([START + DEFAULT], sent=sent, heard=reporting([START]))
    assert heard.cadence.interval == sent


def test_one_outage_is_no_interval() -> None:
    back = START + timedelta(days=3)
    heard = reporting([back], heard=reporting(every(DEFAULT, 9)))
    assert heard.cadence.interval == DEFAULT
    assert heard.since == back


def test_nights_that_a_node_is_off_are_forgotten_during_the_day() -> None:
    night, heard = timedelta(hours=14), None
    for day in range(5):
        start = START + day * timedelta(days=1)
        heard = reporting(every(DEFAULT, 10 * 180, start), heard=heard)
        assert node_status(heard, heard.report + timedelta(minutes=2)).state is NodeState.OFFLINE
    assert heard is not None
    assert node_status(heard, heard.report + night).state is NodeState.OFFLINE


def test_a_burst_of_reports_does_not_hurry_the_next() -> None:
    heard = reporting(every(HOUR, 5))
    burst = every(timedelta(milliseconds=200), 50, heard.report)
    heard = reporting(burst, heard=heard)
    assert node_status(heard, heard.report + 2 * HOUR).state is NodeState.ONLINE


def test_a_node_that_reports_more_often_is_soon_expected_as_often() -> None:
    heard = reporting(every(HOUR, 5))
    heard = reporting(every(DEFAULT, 200, heard.report + DEFAULT), heard=heard)
    assert heard.cadence.interval == DEFAULT


def test_stats_are_a_sign_of_life() -> None:
    stats = START + timedelta(minutes=5)
    heard = Heard(START, stats, ReportCadence(DEFAULT, since=START))
    assert node_status(heard, stats + DEFAULT).state is NodeState.ONLINE
    assert heard.last == stats
    assert Heard(stats, START).last == stats


def test_a_node_that_returns_is_online_since_then() -> None:
    heard = reporting(every(DEFAULT, 5))
    assert heard.since == START
    late = heard.report + STALE_AFTER_INTERVALS * DEFAULT - MICROSECOND
    assert reporting([late], heard=heard).since == START
    missed = heard.report + STALE_AFTER_INTERVALS * DEFAULT
    assert reporting([missed], heard=heard).since == missed


@given(ages, spans, spans)
def test_more_silence_is_never_a_better_state(
    heard: Heard, silence: timedelta, more: timedelta
) -> None:
    first, later = (
        FROM_BEST.index(node_status(heard, START + span).state)
        for span in (silence, silence + more)
    )
    assert first <= later


@given(ages, spans)
def test_a_state_begins_at_its_time(heard: Heard, silence: timedelta) -> None:
    now = heard.last + silence
    found = node_status(heard, now)
    assert found.since is not None
    assert found.since <= now
    if not found.is_ready:
        assert node_status(heard, found.since) == found
        assert node_status(heard, found.since - MICROSECOND).state is not found.state
    ends = next_change(heard, now)
    assert (ends is None) is (found.state is NodeState.OFFLINE)
    if ends is not None:
        assert node_status(heard, ends - MICROSECOND) == found
        assert node_status(heard, ends).state is not found.state


@given(
    interval=st.timedeltas(DEFAULT, timedelta(hours=20)),
    delays=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=60),
)
@example(interval=HOUR, delays=[0.99, 0.0] * 30)
@example(interval=HOUR, delays=[0.0, 0.99, 0.3, 0.0] * 15)
def test_reports_that_are_late_by_less_than_an_interval_are_no_alarm(
    interval: timedelta, delays: list[float]
) -> None:
    moments = every(interval, 3)
    heard = reporting(moments)
    for number, delay in enumerate(delays, start=3):
        now = START + number * interval + delay * interval
        assert node_status(heard, now).is_ready, heard
        heard = reporting([now], heard=heard)


@given(st.lists(spans, max_size=30), st.timedeltas(timedelta(seconds=1), timedelta(days=3)))
def test_the_interval_stays_between_its_bounds(gaps: list[timedelta], sent: timedelta) -> None:
    moments = [START]
    for gap in gaps:
        moments.append(moments[-1] + gap)
    cadence = reporting(moments, sent=sent).cadence
    assert min(max(sent, LEAST_INTERVAL), LONGEST_INTERVAL) <= cadence.interval <= LONGEST_INTERVAL
    assert cadence.interval <= max(cadence.longest, sent, LEAST_INTERVAL)


@pytest.mark.parametrize("step", [timedelta(seconds=1), timedelta(days=1)])
def test_a_clock_that_was_set_back_makes_no_node_unready(step: timedelta) -> None:
    heard = reporting(every(DEFAULT, 5))
    assert node_status(heard, heard.report - step).is_ready
    assert reporting([heard.report - step], heard=heard).cadence.interval == DEFAULT


def test_a_node_is_stale_before_it_is_offline() -> None:
    assert 2 < STALE_AFTER_INTERVALS < OFFLINE_AFTER_INTERVALS


def test_reports_that_come_when_they_should_change_nothing() -> None:
    heard = reporting(every(DEFAULT, 200))
    assert next_cadence(heard, heard.report + 1.25 * DEFAULT, sent=DEFAULT) == heard.cadence
    later = next_cadence(heard, heard.report + 1.26 * DEFAULT, sent=DEFAULT)
    assert later.longest == 1.26 * DEFAULT
    restarted = Heard(START, None, ReportCadence(DEFAULT, DEFAULT))
    assert next_cadence(restarted, START + DEFAULT, sent=DEFAULT).since == START
