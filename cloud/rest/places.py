"""Limits on requests that stay open for long: in all, and of one caller."""

import contextlib
from collections import Counter
from collections.abc import Iterator

from cloud.core.audit import Actor
from cloud.errors import TooManyRequests


class Places:
    """Counts open requests: at most *total*, and *of_one* caller; *retry* in seconds if refused.

    *bound* is what refusals are counted as.
    """

    def __init__(self, total: int, of_one: int, retry: float, bound: str) -> None:
        self.bound = bound
        self.total = total
        self.of_one = of_one
        self.retry = retry
        self._open: Counter[Actor] = Counter()

    @contextlib.contextmanager
    def place(self, caller: Actor) -> Iterator[None]:
        """Count one more of *caller* in the block; TooManyRequests if there are too many."""
        if self._open.total() >= self.total or self._open[caller] >= self.of_one:
            raise TooManyRequests(self.retry, bound=self.bound)
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            self._open += Counter()  # removes callers without open requests


def channel_tests(total: int = 8, of_one: int = 2) -> Places:
    """Places of requests that wait for the outcome of a test message."""
    return Places(total, of_one, retry=5.0, bound="channel_tests")


def command_waits(total: int = 200, of_one: int = 20) -> Places:
    """Places of requests that wait for the end of a command."""
    return Places(total, of_one, retry=5.0, bound="command_waits")
