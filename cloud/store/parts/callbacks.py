"""Callbacks and their deliveries."""

from collections.abc import Sequence
from datetime import datetime

from cloud.core.callback import Callback, CallbackStatus, Delivery
from cloud.core.listing import (
    NumberedPage,
    PageOptions,
)
from cloud.errors import NotFound
from cloud.store.parts.documents import DocumentPart, document_table
from cloud.store.parts.part import BrokenReference
from cloud.store.rows import Parameters, Row, micros, micros_or_none, moment, moment_or_none
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

PUT_DELIVERY = statement(
    """
    INSERT INTO delivery (id, namespace, callback, content_type, content, created, due, attempts,
        error)
    VALUES (:id, :namespace, :callback, :content_type, :content, :created, :due, :attempts, :error)
    ON CONFLICT (id) DO UPDATE SET
        due = excluded.due, attempts = excluded.attempts, error = excluded.error
    """,
    reads={"callback"},
    writes={"delivery"},
)
DELETE_DELIVERY = statement(
    "DELETE FROM delivery WHERE id = :id RETURNING id",
    reads={"callback"},
    writes={"delivery"},
)
DUE_CALLBACKS = statement(
    "SELECT DISTINCT namespace, callback FROM delivery WHERE due <= :now",
    reads={"delivery"},
)
NEXT_DUE = statement("SELECT min(due) FROM delivery WHERE due > :now", reads={"delivery"})
DUE_DELIVERIES = statement(
    """
    SELECT id, namespace, callback, content_type, content, created, due, attempts, error
        FROM delivery
    WHERE namespace = :namespace AND callback = :name AND due <= :now ORDER BY due, id LIMIT :limit
    """,
    reads={"delivery"},
)
GIVEN_UP = statement(
    """
    SELECT id, namespace, callback, content_type, content, created, due, attempts, error
        FROM delivery
    WHERE namespace = :namespace AND callback = :name AND due IS NULL
    ORDER BY created DESC, id DESC LIMIT :limit
    """,
    reads={"delivery"},
)
RETRY_GIVEN_UP = statement(
    """
    UPDATE delivery SET due = :now, created = :now
    WHERE namespace = :namespace AND callback = :name AND due IS NULL RETURNING id
    """,
    writes={"delivery"},
)
FORGET_GIVEN_UP = statement(
    "DELETE FROM delivery WHERE due IS NULL AND created < :before RETURNING id",
    reads={"callback"},
    writes={"delivery"},
)


class CallbackPart(DocumentPart):
    """Callbacks, how they did, and what is to be delivered to them."""

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

    def put_delivery(self, delivery: Delivery) -> None:
        """Queue the delivery, or record the result of an attempt; its content never changes.

        NotFound if there is no such callback.
        """
        try:
            self._run(PUT_DELIVERY, _delivery_row(delivery))
        except BrokenReference as error:
            raise NotFound("callback", delivery.callback) from error

    def delete_delivery(self, delivery_id: str) -> bool:
        return bool(self._run(DELETE_DELIVERY, {"id": delivery_id}))

    def due_callbacks(self, now: datetime) -> Sequence[tuple[str, str]]:
        """Each callback (namespace, name) with a delivery due at *now*, once."""
        found = self._run(DUE_CALLBACKS, {"now": micros(now)})
        return [(namespace, name) for namespace, name in found]

    def next_due(self, now: datetime) -> datetime | None:
        """When the next delivery after *now* is due; None if there is none."""
        (due,) = self._run(NEXT_DUE, {"now": micros(now)})[0]
        return moment_or_none(due)

    def due_deliveries(
        self, namespace: str, name: str, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        """Deliveries of the callback due at *now*, the longest overdue first."""
        key = {"namespace": namespace, "name": name}
        found = self._run(DUE_DELIVERIES, {**key, "now": micros(now), "limit": limit})
        return [_delivery_of(row) for row in found]

    def given_up(self, namespace: str, name: str, limit: int) -> Sequence[Delivery]:
        """Deliveries of the callback that were given up, newest first."""
        key: Parameters = {"namespace": namespace, "name": name, "limit": limit}
        return [_delivery_of(row) for row in self._run(GIVEN_UP, key)]

    def retry_given_up(self, namespace: str, name: str, now: datetime) -> int:
        """Queue all of them again, as if created at *now*; how many there were."""
        key: Parameters = {"namespace": namespace, "name": name, "now": micros(now)}
        return len(self._run(RETRY_GIVEN_UP, key))

    def forget_given_up(self, before: datetime) -> int:
        """Delete what was given up and is older than *before*; how many there were."""
        return len(self._run(FORGET_GIVEN_UP, {"before": micros(before)}))


def _delivery_of(row: Row) -> Delivery:
    """The delivery of a row of `DUE_DELIVERIES`."""
    own_id, namespace, callback, content_type, content, created, due, attempts, error = row
    return Delivery(
        own_id,
        namespace,
        callback,
        content,
        moment(created),
        moment_or_none(due),
        content_type,
        attempts,
        error,
    )


def _delivery_row(delivery: Delivery) -> Parameters:
    """Parameters of `PUT_DELIVERY`."""
    return {
        "id": delivery.id,
        "namespace": delivery.namespace,
        "callback": delivery.callback,
        "content_type": delivery.content_type,
        "content": delivery.content,
        "created": micros(delivery.created),
        "due": micros_or_none(delivery.due),
        "attempts": delivery.attempts,
        "error": delivery.error,
    }
