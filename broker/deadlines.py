"""Deadlines of a connection: silence for too long, or an expired certificate."""

import asyncio
from collections.abc import Callable


class Deadlines:
    """Calls *on_silence* after *seconds* without `heard`, *on_end* once *left* is not above 0.

    *left* returns for how many seconds the certificate is valid, by a clock that may be set: it is
    called again whenever the one timer fires, which is every *seconds* at least. Hearing something
    costs no timer: the one that runs looks at the time when it fires.
    """

    def __init__(
        self,
        seconds: float,
        on_silence: Callable[[], None],
        *,
        left: Callable[[], float],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._on_silence = on_silence
        self._left = left
        self._on_end = on_end
        self._last = self._loop.time()  # when something was heard
        self._is_paused = False
        self._timer = self._loop.call_later(max(0, min(seconds, left())), self._look)

    def heard(self) -> None:
        """Begin to count anew."""
        self._last = self._loop.time()

    def pause(self) -> None:
        """Do not count silence: the connection is not read. A certificate ends all the same."""
        self._is_paused = True

    def resume(self) -> None:
        """Count again, from nothing."""
        self._is_paused = False
        self._last = self._loop.time()

    def stop(self) -> None:
        """Never call."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._is_paused:
            self._last = self._loop.time()
        rest, left = self._last + self._seconds - self._loop.time(), self._left()
        if left <= 0:
            self._on_end()
        elif rest <= 0:
            self._on_silence()
        else:
            self._timer = self._loop.call_later(min(rest, left), self._look)
