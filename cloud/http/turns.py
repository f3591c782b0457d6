"""Fair order of callers, one at a time: round robin, however often each asks."""

import asyncio
from collections import OrderedDict, deque


class Turns:
    """Hands out *per_second* turns, to one key after the other of those that wait."""

    def __init__(self, per_second: float) -> None:
        self._pause = 1 / per_second
        # Who waits, by key; the key whose turn is next comes first.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._next = 0.0  # when the next turn may be, on the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, key: str) -> None:
        """Return when it is the turn of one of *key*; in the order of asking among these."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        if self._timer is None:
            self._timer = loop.call_at(self._next, self._give)
        await turn

    def _give(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._waiting:
            key, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[key] = turns
            if not turn.done():  # else it does not wait any more
                turn.set_result(None)
                self._next = loop.time() + self._pause
                break
        if self._waiting:
            self._timer = loop.call_at(self._next, self._give)
