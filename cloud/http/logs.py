"""Logging: lines bounded in length and number, with the id of their request.

Much of the text of a line was chosen by clients: paths, names, errors about them. So a line has at
most `LINE_LIMIT` characters without control characters, and each place in the code writes no more
lines than a `LogBudget` lets it, of one caller and of all. The id and the caller of the request are
in a context variable, which tasks take with them, and the store to its threads.
"""

import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar

from cloud.core.rate import KEYS, Buckets, Rate

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(request)s%(message)s"
"""Lines of a handler that has a `RequestIdFilter`."""

TEXT_LIMIT = 200
"""Characters of a text that others chose, in a line of the log."""

LINE_LIMIT = 1_000
"""Characters of a line, whatever it is about."""

TRACE_LIMIT = 8 * 1024
"""Characters of a traceback; its end is kept."""

CALLER_RATE = Rate(burst=20, per_second=0.2)
"""Lines from one place in the code because of one caller."""

PLACE_RATE = Rate(burst=200, per_second=2)
"""Lines from one place in the code because of anybody: at most 170 MB a day."""

_request: ContextVar[tuple[str, str]] = ContextVar("request", default=("", ""))


def log_under(request_id: str, caller: str) -> None:
    """From here on this task, and what it begins, works for that request of *caller*."""
    _request.set((request_id, caller))


def shown(text: str, limit: int = TEXT_LIMIT) -> str:
    """*text* as a line of the log may bear it: control characters escaped, cut at *limit*."""
    printable = _escaped(text[: limit + 1])
    return printable if len(printable) <= limit else printable[:limit] + "..."


def _escaped(text: str, keep: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else repr(each)[1:-1] for each in text
    )


class BoundedFormatter(logging.Formatter):
    """Writes a record in `LINE_LIMIT` characters, and its traceback in `TRACE_LIMIT`."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line."""
        left_out: str = getattr(record, "left_out", "")
        return shown(super().formatMessage(record), LINE_LIMIT) + left_out

    def formatException(self, ei: object) -> str:
        """The end of the traceback."""
        text = super().formatException(ei)  # type: ignore[arg-type]
        return _escaped(text[-TRACE_LIMIT:], keep="\n")[-TRACE_LIMIT:]


class RequestIdFilter(logging.Filter):
    """Gives each record the attribute `request`: `request ID: `, or nothing outside of requests.

    Belongs on a handler: the filter of a logger does not see what its children log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every record on."""
        known, _ = _request.get()
        record.request = f"request {known}: " if known else ""
        return True


class LogBudget(logging.Filter):
    """Passes no more records of one place in the code on than are of use, from INFO up.

    How many were left out, of the same place and caller, is in the attribute `left_out` of the next
    one. Belongs on a handler. *timer* does not go back.
    """

    def __init__(
        self,
        timer: Callable[[], float],
        *,
        of_caller: Rate = CALLER_RATE,
        of_place: Rate = PLACE_RATE,
    ) -> None:
        super().__init__()
        self._timer = timer
        self._of_caller = Buckets(of_caller)
        self._of_place = Buckets(of_place)
        # How many of each place and caller, and of each place, were left out since the last one.
        self._left_out: dict[str, int] = {}
        self._lock = threading.Lock()  # the threads of the store log, too

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether *record* is one to write."""
        record.left_out = ""
        if record.levelno < logging.INFO:
            return True
        place = f"{record.name}:{record.lineno}"
        _, caller = _request.get()
        own = f"{place} {caller}"
        with self._lock:
            now = self._timer()
            if caller and self._of_caller.take(own, now) is not None:
                return self._leave_out(own)
            if self._of_place.take(place, now) is not None:
                return self._leave_out(place)
            left_out = self._left_out.pop(own, 0) if caller else 0
            left_out += self._left_out.pop(place, 0)
        if left_out:
            record.left_out = f" ({left_out} such lines were left out)"
        return True

    def _leave_out(self, key: str) -> bool:
        if key in self._left_out or len(self._left_out) < KEYS:
            self._left_out[key] = self._left_out.get(key, 0) + 1
        return False
