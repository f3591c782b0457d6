"""What many callers write at the same moment, in one transaction: one wait for the disk, not many.

While one group is being stored the next one gathers. Where one of a group is refused nothing of the
group is written, and each is done by itself: whoever is refused costs the others a moment, and
never what they asked for.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cloud.store.interface import Store, Transaction

T = TypeVar("T")

GROUP = 64
"""Pieces of work in one transaction, at most."""


@dataclass(slots=True, eq=False)
class _Piece:
    """What one caller wants written, then what came of it."""

    work: Callable[[Transaction], Any]
    result: Any = None
    error: Exception | None = None
    is_done: bool = False


class Gathering:
    """Owns the pieces that wait; as `Store.write` to each caller."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Piece] = []
        self._turn = asyncio.Lock()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Carry out *work*, which may be run more than once, together with what else waits.

        What it returned is durable; what it raises is raised, and nothing of it is written.
        """
        piece = _Piece(work)
        self._waiting.append(piece)
        try:
            async with self._turn:
                if not piece.is_done:
                    await self._carry_out(self._waiting[:GROUP])
        finally:
            self._waiting.remove(piece)
        if piece.error is not None:
            raise piece.error
        result: T = piece.result
        return result

    async def _carry_out(self, group: list[_Piece]) -> None:
        """Settle every piece of *group* that is not yet."""
        todo = [piece for piece in group if not piece.is_done]
        try:
            results = await self._store.write(lambda tx: [piece.work(tx) for piece in todo])
        except Exception as error:  # noqa: BLE001  # it is raised to whoever it belongs to
            if len(todo) == 1:
                todo[0].error, todo[0].is_done = error, True
                return
            for piece in todo:
                await self._carry_out([piece])
            return
        for piece, result in zip(todo, results, strict=True):
            piece.result, piece.is_done = result, True
