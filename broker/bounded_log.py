"""Log lines that somebody outside can cause: at most so many, the others counted."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

BURST = 50
"""Lines at once, of all keys together; then one a second on average."""

EVERY_SECONDS = 60.0
"""Time between two lines of one key."""

KEYS = 1_024
"""Keys that are remembered."""

SHOWN_CHARACTERS = 200
"""Of a text that came from outside, in a line."""


class BoundedLog:
    """Writes to *logger*; a line that is left out is counted in the next one that is written.

    *timer* counts seconds and does not go back.
    """

    def __init__(
        self, logger: logging.Logger, *, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._timer = timer
        self._last: OrderedDict[str, float] = OrderedDict()  # when a line of each key was written
        self._tokens, self._since = float(BURST), timer()
        self.left_out = 0

    def warning(self, key: str, text: str, *values: object) -> None:
        """Write a line about *key*, unless one was written a moment ago."""
        self._write(logging.WARNING, key, text, values)

    def exception(self, key: str, text: str, *values: object) -> None:
        """As `warning`, with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, key, text, values)

    def _write(self, level: int, key: str, text: str, values: tuple[object, ...]) -> None:
        now = self._timer()
        self._tokens = min(BURST, self._tokens + now - self._since)
        self._since = now
        if self._tokens < 1 or now - self._last.get(key, -EVERY_SECONDS) < EVERY_SECONDS:
            self.left_out += 1
            return
        self._tokens -= 1
        self._last[key] = now
        self._last.move_to_end(key)
        if len(self._last) > KEYS:
            self._last.popitem(last=False)
        if self.left_out:
            text, values = f"{text} (%d such lines were left out before)", (*values, self.left_out)
        self.left_out = 0
        shown = (shortened(value) if isinstance(value, str) else value for value in values)
        self._logger.log(level, text, *shown, exc_info=level >= logging.ERROR)


def shortened(text: str) -> str:
    """*text* on one line, cut to `SHOWN_CHARACTERS`; what cannot be printed is escaped."""
    cut = text[:SHOWN_CHARACTERS]
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)
    return printable[:SHOWN_CHARACTERS] + ("..." if len(text) > SHOWN_CHARACTERS else "")
