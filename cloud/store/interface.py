"""The interface of persistence: a `Store`, which two databases implement.

Work is a plain function of a `Transaction`: it touches nothing else, and may be run twice.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, runtime_checkable

from cloud.store.transaction import Transaction

__all__ = ["Store", "Transaction", "WakingStore"]

T = TypeVar("T")


class Store(Protocol):
    """Runs work off the event loop, each piece in a transaction of its own.

    Commits when the work returns, rolls back when it raises; what was returned is durable.
    Cancelling the wait does not undo the work: afterwards it is unknown whether it was done.
    """

    def write(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run *work* with the right to change things; one at a time."""
        ...

    def write_apart(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """As `write`, for work that relies on nothing but what it changes itself.

        Such is what nodes say about themselves. Where several servers share a database it runs
        beside what others write.
        """
        ...

    def read(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run *work* with the right to look; others may write meanwhile."""
        ...

    async def wait_for_stale(self) -> None:
        """Return when nodes may have been noted as stale since the last call."""
        ...


@runtime_checkable
class WakingStore(Store, Protocol):
    """A store that says when events were noted."""

    async def wait_for_events(self) -> None:
        """Return when events may have been noted here, or numbered elsewhere, since the last call.

        A notice of other servers may be lost; whoever waits looks from time to time.
        """
        ...
