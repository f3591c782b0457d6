"""Who guesses is slowed down; who waits, and who is elsewhere, is not."""

import tracemalloc

import pytest

from cloud.core.failed_attempts import AT_ALL_BATCHES, FailedAttemptLimiter
from cloud.core.rate import Rate

RATE = Rate(3, 0.1)


def wrong(
    guesses: FailedAttemptLimiter,
    guess: str,
    *,
    address: str = "a",
    batch: str = "b",
    now: float = 0,
) -> float | None:
    """Seconds to wait, or None: then the guess was looked at, and was wrong."""
    wait = guesses.wait(address, batch, guess, now)
    if wait is None:
        guesses.record_failure(address, batch, guess, now)
    return wait


def test_after_some_wrong_guesses_one_has_to_wait_for_the_next() -> None:
    guesses = FailedAttemptLimiter(RATE)
    assert [wrong(guesses, str(n)) for n in range(5)] == [None, None, None, 10, 10]
    assert wrong(guesses, "5", now=9) == pytest.approx(1)
    assert wrong(guesses, "5", now=10) is None
    assert wrong(guesses, "6", now=10) == 10


def test_what_was_held_up_does_not_make_it_longer() -> None:
    guesses = FailedAttemptLimiter(RATE)
    for n in range(1000):
        wrong(guesses, str(n))
    assert guesses.wait("a", "b", "again", 0) == 10


def test_the_same_guess_again_is_looked_at_and_not_counted() -> None:
    guesses = FailedAttemptLimiter(RATE)
    assert [wrong(guesses, "same") for _ in range(100)] == [None] * 100
    assert [wrong(guesses, str(n)) for n in range(3)] == [None, None, 10]
    assert wrong(guesses, "same") is None


def test_no_client_can_block_a_batch_or_an_address_for_others() -> None:
    guesses = FailedAttemptLimiter(RATE)
    for n in range(9):
        wrong(guesses, str(n))
    assert wrong(guesses, "x") is not None
    assert wrong(guesses, "x", address="elsewhere") is None
    assert wrong(guesses, "x", batch="other") is None


def test_one_address_is_slowed_down_over_all_batches_too() -> None:
    guesses = FailedAttemptLimiter(RATE)
    limit = RATE.burst * AT_ALL_BATCHES
    waits = [wrong(guesses, "x", batch=str(n)) for n in range(limit + 1)]
    assert waits == [None] * limit + [1]


def test_no_number_of_guesses_fills_the_memory() -> None:
    guesses = FailedAttemptLimiter(RATE, keys=4)
    for n in range(100):
        wrong(guesses, str(n), address=str(n))
    assert len(guesses._known) == 4


def test_parts_are_not_mixed_up() -> None:
    guesses = FailedAttemptLimiter(Rate(1, 0.1))
    guesses.record_failure("a", "b", "cd", 0)
    assert guesses.wait("a", "b", "cd", 0) is None
    assert guesses.wait("a", "b", "c", 0) == 10


def test_without_a_rate_everything_is_looked_at() -> None:
    guesses = FailedAttemptLimiter(None)
    assert [wrong(guesses, str(n)) for n in range(1000)] == [None] * 1000


def test_what_is_remembered_of_a_guess_does_not_grow_with_its_texts() -> None:
    guesses = FailedAttemptLimiter(Rate(1000, 1000))
    tracemalloc.start()
    for n in range(100):
        wrong(guesses, str(n), batch=f"{n}" * 30_000)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 256 * 1024
