"""Group commit: work of many callers in one transaction, with one wait for the disk.

While one group is being committed the next one gathers. A piece of work that fails takes no other
with it: the transaction is done again without that piece.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from cloud.errors import Unavailable
from cloud.store.transaction import Store, Transaction

GROUP = 64
"""Pieces in a transaction of a `GroupWriter` at most."""

_RETRIES = 4
"""Pieces that may fail until each piece gets a transaction of its own."""

T = TypeVar("T")


class Piece(Protocol):
    """The work of one caller, which waits for its result."""

    @property
    def is_done(self) -> bool:
        """Whether there is a result, or an error."""
        ...


P = TypeVar("P")
W = TypeVar("W", bound=Piece)


class PieceFailed(Exception):
    """The piece at *place* raised *error*; nothing of the transaction may be committed."""

    def __init__(self, place: int, error: Exception) -> None:
        super().__init__(str(error))
        self.place = place
        self.error = error


async def commit_group(
    run: Callable[[Callable[[Transaction], Sequence[T]]], Awaitable[Sequence[T]]],
    pieces: Sequence[P],
    work: Callable[[Transaction, Sequence[P]], Sequence[T]],
    *,
    settle: Callable[[P, T], object],
    fail: Callable[[P, Exception], object],
) -> None:
    """Run *work* for all *pieces* in one transaction of *run*, then `settle` each with its result.

    *work* returns a result for each of the first pieces, one at least; the others stay as they are.
    Where it raises PieceFailed it is run again without that piece, for which `fail` is called.
    After a few of those, and where the transaction itself fails, each piece is done alone.
    Unavailable if the store cannot be used now: what is not settled may be tried again.
    """
    todo = list(pieces)
    for _ in range(_RETRIES):
        if not todo:
            return
        try:
            results = await run(lambda tx: work(tx, todo))
        except Unavailable:
            raise
        except PieceFailed as failed:
            fail(todo.pop(failed.place), failed.error)
        except Exception as error:  # noqa: BLE001  # it is the caller's, who gets it from `fail`
            if len(todo) == 1:
                fail(todo[0], error)
                return
            break
        else:
            for piece, result in zip(todo, results, strict=False):
                settle(piece, result)
            return
    for piece in todo:
        await commit_group(run, [piece], work, settle=settle, fail=fail)


class GroupCommit(Generic[W]):
    """Owns the pieces that wait while a group is being committed."""

    def __init__(self, carry_out: Callable[[Sequence[W]], Awaitable[None]], *, limit: int) -> None:
        """*carry_out* settles the pieces of a group, *limit* at most, one of them at least."""
        self._carry_out = carry_out
        self._limit = limit
        self._waiting: list[W] = []
        self._turn = asyncio.Lock()

    async def settle(self, piece: W) -> None:
        """Return once *piece* is done, together with the others that wait."""
        self._waiting.append(piece)
        try:
            async with self._turn:
                while not piece.is_done:
                    todo = [each for each in self._waiting if not each.is_done]
                    await self._carry_out(todo[: self._limit])
        finally:
            self._waiting.remove(piece)


@dataclass(slots=True, eq=False)
class _Write:
    """The work of one caller, then its result or its error."""

    work: Callable[[Transaction], Any]
    subject: Any = None
    result: Any = None
    error: Exception | None = None
    is_done: bool = False

    def settle(self, result: Any) -> None:
        self.result, self.is_done = result, True

    def fail(self, error: Exception) -> None:
        self.error, self.is_done = error, True


class GroupWriter:
    """`Store.write` for many callers, each with the result or the error of its own work."""

    def __init__(
        self, store: Store, expect: Callable[[Transaction, Sequence[Any]], None] | None = None
    ) -> None:
        """*expect* is called with the subjects of a group before its work."""
        self._store = store
        self._expect = expect
        self._commit = GroupCommit(self._carry_out, limit=GROUP)

    async def write(self, work: Callable[[Transaction], T], *, subject: Any = None) -> T:
        """Run *work*, which is about *subject*, possibly more than once, with what else waits.

        What it returned is durable; what it raises is raised, and nothing of it is written.
        """
        piece = _Write(work, subject)
        await self._commit.settle(piece)
        if piece.error is not None:
            raise piece.error
        result: T = piece.result
        return result

    async def _carry_out(self, group: Sequence[_Write]) -> None:
        try:
            await commit_group(
                self._store.write, group, self._results_of, settle=_Write.settle, fail=_Write.fail
            )
        except Unavailable as error:
            for piece in group:
                if not piece.is_done:
                    piece.fail(error)

    def _results_of(self, tx: Transaction, pieces: Sequence[_Write]) -> Sequence[Any]:
        if self._expect is not None:
            self._expect(tx, [piece.subject for piece in pieces])
        results = []
        for place, piece in enumerate(pieces):
            try:
                results.append(piece.work(tx))
            except Exception as error:
                raise PieceFailed(place, error) from error
        return results
