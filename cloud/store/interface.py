"""The interface of persistence: a `Store`, which two databases implement.

Work is a plain function of a `Transaction`: it touches nothing else, and may be run twice.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, runtime_checkable

from cloud.store.outcomes import WriteOutcomes
from cloud.store.transaction import Transaction

__all__ = ["NotifyingStore", "Store", "Transaction"]

T = TypeVar("T")


class Store(Protocol):
    """Runs work off the event loop, each piece in a transaction of its own; two databases do.

    Commits when the work returns, rolls back when it raises; what was returned is durable.
    Cancelling the wait does not undo the work: afterwards it is unknown whether it was done.
    """

    def write(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run *work* with the right to change things; one at a time."""
        ...

    def write_concurrent(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """As `write`, for work that relies on nothing but the rows that it changes itself.

        So do reports of nodes. On PostgreSQL it runs concurrently with other writes, and again
        where another one has changed the same rows.
        """
        ...

    def read(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run *work* with the right to look; others may write meanwhile."""
        ...


@runtime_checkable
class NotifyingStore(Store, Protocol):
    """A store with notices of commits, its own and those of other servers, and of failures."""

    outcomes: WriteOutcomes
    """What came of the transactions that may write."""

    async def wait_for_pending(self) -> None:
        """Return when nodes may have been marked as pending since the last call."""
        ...

    async def wait_for_events(self) -> None:
        """Return when events may have been recorded here, or numbered elsewhere, since then.

        A notice of another server may be lost: look from time to time without one.
        """
        ...
