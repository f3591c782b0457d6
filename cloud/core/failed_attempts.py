"""Limits failed attempts: each delays the next; waiting restores the budget.

A guess is counted for its address at the batch it is about, and for its address at all batches
together. So no client can block a batch for others by its name, and one batch does not affect
another. The same wrong guess again reveals nothing: it is not counted, and never held up. A
device that waits to be put on a list gets in as soon as it is.
"""

import hashlib
from collections import OrderedDict

from cloud.core.rate import KEYS, Buckets, Rate

AT_ALL_BATCHES = 10
"""How much more often one address may be wrong at all batches together than at one."""


class FailedAttemptLimiter:
    """Counts wrong guesses; without a *rate*, of one address at one batch, none are.

    Times are seconds on any clock that does not go back. Only the *keys* addresses and guesses used
    last are remembered.
    """

    def __init__(self, rate: Rate | None, *, keys: int = KEYS) -> None:
        self._keys = keys
        self._at_one = self._at_all = None
        if rate is not None:
            wide = Rate(rate.burst * AT_ALL_BATCHES, rate.per_second * AT_ALL_BATCHES)
            self._at_one, self._at_all = Buckets(rate, keys=keys), Buckets(wide, keys=keys)
        # Digests of wrong guesses, each with its address, in the order of their last use.
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def wait(self, address: str, batch: str, guess: str, now: float) -> float | None:
        """Seconds until *guess* is looked at; None if that is now."""
        if self._at_one is None or self._at_all is None:
            return None
        if _digest(address, batch, guess) in self._known:
            return None
        waits = (self._at_one.wait(_place(address, batch), now), self._at_all.wait(address, now))
        return max((wait for wait in waits if wait is not None), default=None)

    def record_failure(self, address: str, batch: str, guess: str, now: float) -> None:
        """Count *guess*, which was looked at and is wrong, unless it is known."""
        if self._at_one is None or self._at_all is None:
            return
        digest = _digest(address, batch, guess)
        if digest not in self._known:
            self._at_one.take(_place(address, batch), now)
            self._at_all.take(address, now)
            self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > self._keys:
            self._known.popitem(last=False)


def _place(address: str, batch: str) -> str:
    """The key of both; names of absent batches may be of any length."""
    return _digest(address, batch).hex()


def _digest(*parts: str) -> bytes:
    """The key of them; none of them can be derived from it in practice."""
    whole = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        whole.update(len(encoded).to_bytes(8, "big") + encoded)
    return whole.digest()
