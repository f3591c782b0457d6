"""Callbacks."""

from datetime import datetime

from cloud.core.callback import Callback, CallbackStatus
from cloud.core.listing import (
    NumberedPage,
    PageOptions,
)
from cloud.store.parts.documents import DocumentPart, document_table
from cloud.store.rows import micros, moment_or_none
from cloud.store.statements import statement

CALLBACKS = document_table("callback", emptied={"delivery"})
CALLBACK_OUTCOME = statement(
    """
    SELECT last_success, last_error, last_error_time,
        (SELECT count(*) FROM delivery WHERE delivery.namespace = callback.namespace
            AND delivery.callback = callback.name AND due IS NOT NULL),
        (SELECT count(*) FROM delivery WHERE delivery.namespace = callback.namespace
            AND delivery.callback = callback.name AND due IS NULL)
    FROM callback WHERE namespace = :namespace AND name = :name
    """,
    reads={"callback", "delivery"},
)
RECORD_SUCCESS = statement(
    """
    UPDATE callback SET last_success = :now WHERE namespace = :namespace AND name = :name
    """,
    writes={"callback"},
)
RECORD_ERROR = statement(
    """
    UPDATE callback SET last_error = :error, last_error_time = :now
    WHERE namespace = :namespace AND name = :name
    """,
    writes={"callback"},
)


class CallbackPart(DocumentPart):
    """Callbacks, and how they did."""

    def callback(self, namespace: str, name: str) -> Callback | None:
        """Unavailable if it cannot be unsealed with this server's key."""
        return self._find(CALLBACKS, Callback, namespace, name)

    def list_callbacks(self, namespace: str, options: PageOptions) -> NumberedPage[Callback]:
        """The page that *options* asks for, newest first; past the end it is empty."""
        return self._numbered_page(CALLBACKS, Callback, namespace, options)

    def put_callback(self, callback: Callback) -> None:
        """Its outcome stays."""
        self._put_document(CALLBACKS, callback)

    def delete_callback(self, namespace: str, name: str) -> bool:
        """Delete the callback with its outcome and its deliveries."""
        return self._delete_document(CALLBACKS, namespace, name)

    def callback_outcome(self, namespace: str, name: str) -> CallbackStatus:
        key = {"namespace": namespace, "name": name}
        found = self._run(CALLBACK_OUTCOME, key)
        if not found:
            return CallbackStatus()
        success, error, error_time, pending, given_up = found[0]
        return CallbackStatus(
            moment_or_none(success), error, moment_or_none(error_time), pending, given_up
        )

    def record_success(self, namespace: str, name: str, now: datetime) -> None:
        self._run(RECORD_SUCCESS, {"namespace": namespace, "name": name, "now": micros(now)})

    def record_error(self, namespace: str, name: str, error: str, now: datetime) -> None:
        key = {"namespace": namespace, "name": name}
        self._run(RECORD_ERROR, {**key, "error": error, "now": micros(now)})
