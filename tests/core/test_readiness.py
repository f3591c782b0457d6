from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.core.readiness import OFFLINE_AFTER, is_ready
from tests.core.strategies import START

MICROSECOND = timedelta(microseconds=1)


def test_a_node_that_never_said_anything_is_not_ready() -> None:
    assert not is_ready(None, START)


def test_a_node_is_ready_for_40_seconds_after_its_last_message() -> None:
    assert timedelta(seconds=40) == OFFLINE_AFTER
    assert is_ready(START, START)
    assert is_ready(START, START + OFFLINE_AFTER - MICROSECOND)
    assert not is_ready(START, START + OFFLINE_AFTER)


@given(st.timedeltas(timedelta(0), timedelta(days=1)))
def test_a_clock_that_was_set_back_makes_no_node_unready(step: timedelta) -> None:
    assert is_ready(START, START - step)
