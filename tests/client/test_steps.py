"""Retries, as pure steps."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.client.errors import ConnectionLost
from edgesync.client.steps import (
    NO_RETRIES,
    HttpAnswer,
    HttpRequest,
    Pause,
    Retries,
    answered,
)

LOST = ConnectionLost("http://x", "reset", was_sent=True)
NEVER_SENT = ConnectionLost("http://x", "refused", was_sent=False)
STEADY = Retries(times=2, first=1.0, random=lambda: 0.0)


def answer(status: int, **headers: str) -> HttpAnswer:
    return HttpAnswer(status, headers, b"")


def outcome(
    method: str,
    results: Sequence[HttpAnswer | ConnectionLost],
    retries: Retries = STEADY,
    **query: str,
) -> tuple[Any, list[float]]:
    """The last answer or loss of a call whose tries have these *results*; and the pauses."""
    steps = answered(HttpRequest(method, "/", query), retries)
    left, pauses = list(results), list[float]()
    step = next(steps)
    try:
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                step = steps.send(None)
                continue
            result = left.pop(0)
            step = steps.throw(result) if isinstance(result, Exception) else steps.send(result)
    except StopIteration as stop:
        assert not left
        return stop.value, pauses
    except ConnectionLost as lost:
        assert not left
        return lost, pauses


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_repeatable_call_is_tried_again_after_a_loss(method: str) -> None:
    found, pauses = outcome(method, [LOST, answer(503), answer(200)])
    assert (found.status, found.is_repeat, pauses) == (200, True, [1.0, 2.0])


def test_a_post_is_tried_again_only_where_it_was_not_carried_out() -> None:
    assert outcome("POST", [LOST]) == (LOST, [])
    assert outcome("POST", [answer(503)])[0].status == 503
    found, pauses = outcome("POST", [NEVER_SENT, answer(429), answer(200)])
    assert (found.status, found.is_repeat, pauses) == (200, False, [1.0, 2.0])
    # A dry run changes nothing.
    assert outcome("POST", [LOST, answer(200)], dryRun="true")[0].status == 200


def test_the_number_of_tries_is_bounded() -> None:
    assert outcome("GET", [LOST, LOST, LOST]) == (LOST, [1.0, 2.0])
    assert outcome("GET", [answer(429)] * 3)[0].status == 429
    assert outcome("GET", [LOST], NO_RETRIES) == (LOST, [])
    at_once = Retries(times=5, after_loss=False)
    assert outcome("GET", [NEVER_SENT], at_once) == (NEVER_SENT, [])


def test_it_waits_as_long_as_the_server_asks() -> None:
    results = [answer(429, **{"retry-after": "7"}), answer(429, **{"retry-after": "9999"})]
    assert outcome("GET", [*results, answer(200)])[1] == [7.0, STEADY.longest]
    dated = answer(503, **{"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert outcome("GET", [dated, answer(200)])[1] == [1.0]


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_are_within_bounds(tried: int, drawn: float) -> None:
    retries = Retries(random=lambda: drawn)
    assert retries.first / 2 <= retries.pause(tried) <= retries.longest


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500])
def test_other_errors_are_not_tried_again(status: int) -> None:
    assert outcome("GET", [answer(status)]) == (answer(status), [])
