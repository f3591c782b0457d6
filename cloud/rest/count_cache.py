"""Cache of counts that are slow in a large fleet."""

from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cloud.store.transaction import Store, Transaction

T = TypeVar("T")

_WORTH = 100
"""A count is cached this many times its duration: counting takes 1 % of a processor at most."""

_LONGEST = timedelta(seconds=15)

_LIMIT = 1024


class CountCache:
    """Owns the last count of each key.

    Counting nodes by state reads every report: 40 ms for 10,000 nodes. In a small fleet all is
    counted each time.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        # By key: the count, and from when to when it is valid.
        self._cached: dict[Hashable, tuple[Any, datetime, datetime]] = {}

    async def count(
        self, key: Hashable, store: Store, work: Callable[[Transaction, datetime], T]
    ) -> T:
        """The count by *work*, now or up to 15 seconds ago.

        The *key* identifies the work, which is called with the time.
        """
        now = self._clock()
        known, begin, end = self._cached.get(key, (None, now, now))
        if begin <= now < end:
            typed: T = known
            return typed
        counted = await store.read(lambda tx: work(tx, now))
        after = self._clock()
        if len(self._cached) >= _LIMIT:
            self._cached.clear()
        self._cached[key] = (counted, after, after + min((after - now) * _WORTH, _LONGEST))
        return counted
