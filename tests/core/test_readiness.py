from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.core.readiness import is_ready
from tests.core.strategies import START

USUAL = timedelta(seconds=20)
MICROSECOND = timedelta(microseconds=1)


def test_a_node_that_never_said_anything_is_not_ready() -> None:
    assert not is_ready(None, START, every=USUAL)


def test_a_node_is_ready_for_40_seconds_after_its_last_message() -> None:
    end = START + timedelta(seconds=40)
    assert is_ready(START, START, every=USUAL)
    assert is_ready(START, end - MICROSECOND, every=USUAL)
    assert not is_ready(START, end, every=USUAL)


def test_a_node_that_reports_less_often_is_waited_for() -> None:
    end = START + timedelta(seconds=320)
    assert is_ready(START, end - MICROSECOND, every=timedelta(seconds=300))
    assert not is_ready(START, end, every=timedelta(seconds=300))


@given(st.timedeltas(timedelta(0), timedelta(days=1)))
def test_a_clock_that_was_set_back_makes_no_node_unready(step: timedelta) -> None:
    assert is_ready(START, START - step, every=USUAL)
