"""The id of the request in every line that is logged while it is answered, by whatever layer.

The id is in a context variable, which tasks take with them, and the store to its threads.
"""

import logging
from contextvars import ContextVar

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(request)s%(message)s"
"""Lines of a handler that has a `RequestIdFilter`."""

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def log_under(request_id: str) -> None:
    """From here on this task, and what it begins, works for that request."""
    _request_id.set(request_id)


class RequestIdFilter(logging.Filter):
    """Gives each record the attribute `request`: `request ID: `, or nothing outside of requests.

    Belongs on a handler: the filter of a logger does not see what its children log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every record on."""
        known = _request_id.get()
        record.request = f"request {known}: " if known else ""
        return True
