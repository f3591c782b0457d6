"""What takes long to count in a large fleet, counted no more often than it is worth."""

from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cloud.store.interface import Store, Transaction

T = TypeVar("T")

_WORTH = 100
"""Times as long as counting took a count is told again: one per cent of a processor at most."""

_LONGEST = timedelta(seconds=15)

_LIMIT = 1024


class Costly:
    """Owns the last count of each key.

    To see how nodes stand is to look at every report: 40 ms of 10,000 nodes. In a small fleet
    all is counted each time.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        # By key: the count, from when to when it is told.
        self._kept: dict[Hashable, tuple[Any, datetime, datetime]] = {}

    async def count(
        self, key: Hashable, store: Store, work: Callable[[Transaction, datetime], T]
    ) -> T:
        """What *work* counts at a moment that is given to it, of now or of up to 15 seconds ago.

        The *key* stands for the work.
        """
        now = self._clock()
        known, begin, end = self._kept.get(key, (None, now, now))
        if begin <= now < end:
            told: T = known
            return told
        counted = await store.read(lambda tx: work(tx, now))
        after = self._clock()
        if len(self._kept) >= _LIMIT:
            self._kept.clear()
        self._kept[key] = (counted, after, after + min((after - now) * _WORTH, _LONGEST))
        return counted
