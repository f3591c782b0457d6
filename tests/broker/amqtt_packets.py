"""amqtt's packets, from bytes that are all there."""

from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def run_now(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine of amqtt that never waits; RuntimeError if it does."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("amqtt waited where it never did")
