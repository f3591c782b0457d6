"""Buckets of what is left."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.core.expiry import BOUNDS, MORE, bounds_from, buckets

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@given(st.lists(st.timedeltas(timedelta(days=-400), timedelta(days=4000))))
def test_everything_is_in_one_bucket_the_first_that_holds_it(left: list[timedelta]) -> None:
    counts = [sum(NOW + one <= bound for one in left) for bound in bounds_from(NOW)]
    found = buckets(counts, len(left))
    for name, bound in BOUNDS.items():
        others = [other for other in BOUNDS.values() if other < bound]
        lowest = max(others, default=timedelta.min)
        assert found[name] == sum(lowest < one <= bound for one in left)
    assert sum(found.values()) == len(left)
    assert list(found) == [*BOUNDS, MORE]
