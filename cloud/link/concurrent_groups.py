"""Groups of messages that are carried out at the same time, each of other nodes."""

import asyncio
from collections.abc import Collection, Coroutine


class ConcurrentGroups:
    """Owns the tasks that carry out groups; they run in *tasks*, *limit* at most at a time.

    Messages of one node stay in order: groups begin in the order in which they are added, and one
    that has a node in common with an earlier one begins after that.
    """

    def __init__(self, tasks: asyncio.TaskGroup, limit: int) -> None:
        self._tasks = tasks
        self._limit = limit
        # The nodes of each group that has begun and not ended.
        self._open: dict[asyncio.Task[None], Collection[str]] = {}

    async def add(self, nodes: frozenset[str], work: Coroutine[None, None, None]) -> None:
        """Begin *work*, which is about *nodes*, as soon as that is allowed; return then."""
        try:
            while not self._may_begin(nodes):
                await asyncio.wait(self._open, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            work.close()
            raise
        task = self._tasks.create_task(work, name="group of messages")
        self._open[task] = nodes
        task.add_done_callback(self._open.pop)

    def _may_begin(self, nodes: frozenset[str]) -> bool:
        return len(self._open) < self._limit and all(
            nodes.isdisjoint(others) for others in self._open.values()
        )
