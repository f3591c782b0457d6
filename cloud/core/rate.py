"""Rate limits: a token bucket for each key, in a table of bounded size."""

from collections import OrderedDict

import msgspec

KEYS = 16_384
"""Buckets in a table, at most: about 4 MB."""


class Rate(msgspec.Struct, frozen=True):
    """At most *burst* at once, and *per_second* on average; both above 0."""

    burst: int
    per_second: float


class Buckets:
    """A bucket of *rate* for each key, full when the key is first seen.

    Where there are more than *keys* of them the one used least recently is forgotten: its key
    begins anew. Times are seconds on any clock that does not go back.
    """

    def __init__(self, rate: Rate, *, keys: int = KEYS) -> None:
        self._rate = rate
        self._keys = keys
        # Tokens that were left, and when that was; in the order of their last use.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def wait(self, key: str, now: float) -> float | None:
        """Seconds until the bucket of *key* holds a token; None if it holds one now."""
        missing = 1 - self._tokens(key, now)
        return missing / self._rate.per_second if missing > 0 else None

    def take(self, key: str, now: float) -> float | None:
        """Take a token out of the bucket of *key*; as for `wait`, none is taken if it is empty."""
        wait = self.wait(key, now)
        if wait is None:
            self._left[key] = (self._tokens(key, now) - 1, now)
        self._left.move_to_end(key)
        if len(self._left) > self._keys:
            self._left.popitem(last=False)
        return wait

    def _tokens(self, key: str, now: float) -> float:
        left, since = self._left.get(key, (self._rate.burst, now))
        return min(self._rate.burst, left + (now - since) * self._rate.per_second)
