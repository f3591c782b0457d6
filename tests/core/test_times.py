from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from cloud.core.times import precise_time_text, time_text


def test_moments_are_written_in_utc_to_the_second() -> None:
    moment = datetime(2020, 7, 22, 8, 25, 5, 999_999, timezone(timedelta(hours=2)))
    assert time_text(moment) == "2020-07-22T06:25:05Z"


def test_moments_are_written_precisely_where_that_is_asked() -> None:
    moment = datetime(2020, 7, 22, 8, 25, 5, 1, timezone(timedelta(hours=2)))
    assert precise_time_text(moment) == "2020-07-22T06:25:05.000001Z"


@given(st.datetimes(datetime(1900, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_what_is_written_can_be_read_back(moment: datetime) -> None:
    assert datetime.fromisoformat(time_text(moment)) == moment.replace(microsecond=0)
