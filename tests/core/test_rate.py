"""Token buckets, against their definition: no more than the burst and what flowed in since."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.rate import Buckets, Rate

SLACK = 1e-6

rates = st.builds(Rate, st.integers(1, 20), st.floats(0.01, 100))
pauses = st.lists(st.floats(0, 60), min_size=1, max_size=60)


class Bucket:
    """A bucket as a count of tokens that flow in, exactly."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.tokens, self.at = rate, Fraction(rate.burst), Fraction(0)

    def tokens_at(self, now: Fraction) -> Fraction:
        flowed = (now - self.at) * Fraction(self.rate.per_second)
        return min(Fraction(self.rate.burst), self.tokens + flowed)


@given(rates, pauses)
def test_no_window_sees_more_than_the_burst_and_what_flowed_in(
    rate: Rate, pauses: list[float]
) -> None:
    buckets, now, taken = Buckets(rate), 0.0, []
    for pause in pauses:
        now += pause
        if buckets.take("k", now) is None:
            taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            allowed = rate.burst + rate.per_second * (taken[last] - start)
            assert last - first + 1 <= allowed + SLACK


@given(rates, pauses)
def test_a_bucket_refuses_only_when_it_is_empty(rate: Rate, pauses: list[float]) -> None:
    buckets, bucket, now = Buckets(rate), Bucket(rate), 0.0
    for pause in pauses:
        now += pause
        tokens = bucket.tokens_at(Fraction(now))
        wait = buckets.take("k", now)
        if wait is None:
            assert tokens >= 1 - SLACK
            bucket.tokens, bucket.at = tokens - 1, Fraction(now)
        else:
            assert tokens < 1 + SLACK
            assert wait == pytest.approx(float((1 - tokens) / Fraction(rate.per_second)), abs=1e-3)


@given(rates, st.integers(0, 40), st.floats(0, 1e6))
def test_a_client_that_waits_for_retry_after_is_admitted(
    rate: Rate, before: int, now: float
) -> None:
    buckets = Buckets(rate)
    for _ in range(before):
        buckets.take("k", now)
    wait = buckets.take("k", now)
    assert (wait is None) == (before < rate.burst)
    if wait is not None:
        assert buckets.wait("k", now + wait / 2) == pytest.approx(wait / 2, abs=1e-6)
        assert buckets.wait("k", now + wait + 1e-4) is None
        assert buckets.take("k", now + wait + 1e-4) is None


def test_one_key_takes_nothing_from_another_and_looking_takes_nothing() -> None:
    buckets = Buckets(Rate(1, 1))
    assert buckets.wait("a", 0) is None
    assert buckets.take("a", 0) is None
    assert buckets.wait("a", 0) == buckets.take("a", 0) == 1
    assert buckets.take("b", 0) is None


def test_of_too_many_keys_the_one_used_least_recently_is_forgotten() -> None:
    buckets = Buckets(Rate(1, 0.001), keys=2)
    for key in ("a", "b"):
        assert buckets.take(key, 0) is None
    assert buckets.take("a", 0) is not None
    assert buckets.take("c", 0) is None
    assert buckets.wait("a", 0) is not None
    assert buckets.wait("b", 0) is None


def test_a_flood_of_keys_does_not_grow_the_table() -> None:
    buckets = Buckets(Rate(1, 1), keys=100)
    for number in range(1000):
        buckets.take(str(number), 0)
        buckets.wait(f"looked at {number}", 0)
    assert len(buckets) == 100
