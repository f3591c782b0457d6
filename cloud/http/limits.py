"""Limits on how often a caller may do something."""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from cloud.core.rate import Buckets, Rate
from cloud.errors import TooManyRequests
from cloud.http.requests import address_key_of


class Limiter:
    """Counts what callers do, on *timer*: seconds on a clock that does not go back.

    Without a *rate* it counts nothing and refuses nothing. *bound* is what its refusals are
    counted as.
    """

    def __init__(self, rate: Rate | None, timer: Callable[[], float], bound: str = "") -> None:
        self._bound = bound
        self._buckets = None if rate is None else Buckets(rate)
        self._timer = timer

    def take(self, key: str) -> None:
        """Count one more for *key*; TooManyRequests, and it is not counted, if that is too many."""
        if self._buckets is None:
            return
        wait = self._buckets.take(key, self._timer())
        if wait is not None:
            raise TooManyRequests(wait, bound=self._bound)


UNLIMITED = Limiter(None, lambda: 0.0)
"""Refuses nothing."""


class AddressGate:
    """Lets no more requests of one address in than *limiter* does."""

    def __init__(self, app: ASGIApp, limiter: Limiter) -> None:
        self.app = app
        self.limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or TooManyRequests."""
        if scope["type"] == "http":
            self.limiter.take(address_key_of(scope))
        await self.app(scope, receive, send)
