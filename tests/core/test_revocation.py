"""Numbers and dates of the lists of revoked certificates."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.core.revocation import BACKDATE, RevocationState, next_state

BEFORE_ALL = RevocationState(0, 0, datetime.fromtimestamp(0, UTC))
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
PAUSES = st.lists(st.timedeltas(timedelta(), timedelta(seconds=2)), min_size=1, max_size=50)


@given(PAUSES)
def test_each_list_is_higher_and_newer_by_a_second_and_never_of_the_future(
    pauses: list[timedelta],
) -> None:
    now, state = NOW, next_state(BEFORE_ALL, NOW)
    for pause in pauses:
        now, last = now + pause, state
        state = next_state(last, now)
        assert state.number == last.number + 1
        assert state.issued - last.issued >= timedelta(seconds=1)
        assert state.issued <= now


def test_a_clock_that_was_years_ahead_leaves_no_list_of_the_future() -> None:
    ahead = next_state(BEFORE_ALL, NOW + timedelta(days=5000))
    back = next_state(ahead, NOW)
    assert back.number == 2
    assert back.issued == NOW.replace(microsecond=0) - BACKDATE
