"""Tell when a connection has been silent for too long."""

import asyncio
from collections.abc import Callable


class SilenceWatch:
    """Calls *on_silence* after *seconds* without `heard`.

    Hearing something costs no timer: the one that runs looks at the time when it fires.
    """

    def __init__(self, seconds: float, on_silence: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._on_silence = on_silence
        self._last = self._loop.time()  # when something was heard
        self._is_paused = False
        self._timer = self._loop.call_later(seconds, self._look)

    def heard(self) -> None:
        """Begin to count anew."""
        self._last = self._loop.time()

    def pause(self) -> None:
        """Do not count: nobody listens."""
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
        rest = self._last + self._seconds - self._loop.time()
        if rest <= 0:
            self._on_silence()
        else:
            self._timer = self._loop.call_later(rest, self._look)
