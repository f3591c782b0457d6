"""The queues of deliveries: one table for each kind of receivers, with the same statements."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cloud.core.sending import Delivery, Queue
from cloud.errors import NotFound
from cloud.store.parts.part import BrokenReference, TransactionPart
from cloud.store.rows import Parameters, Row, micros, micros_or_none, moment, moment_or_none
from cloud.store.statements import Statement, statement

_COLUMNS = """id, namespace, RECEIVER, content_type, content, created, due, attempts, error, sent,
    answer"""


@dataclass(frozen=True, slots=True, eq=False)
class DeliveryTable:
    """The statements of one queue."""

    put: Statement
    delete: Statement
    due: Statement
    next_due: Statement
    claim: Statement
    newest: Statement
    given_up: Statement
    retry: Statement
    forget_given_up: Statement
    forget_finished: Statement
    count: Statement


def delivery_table(table: str, receiver: str, *, of: str) -> DeliveryTable:
    """The statements of *table*, whose column *receiver* names a row of the table *of*."""

    def text_of(text: str) -> str:
        return (
            text.replace("COLUMNS", _COLUMNS)
            .replace("TABLE", table)
            .replace("OWN", f"namespace = :namespace AND {receiver} = :name")
            .replace("RECEIVER", receiver)
        )

    def reading(text: str) -> Statement:
        return statement(text_of(text), reads={table})

    def writing(text: str, reads: Collection[str] = ()) -> Statement:
        return statement(text_of(text), reads=reads, writes={table})

    return DeliveryTable(
        put=writing(
            """
            INSERT INTO TABLE (COLUMNS)
            VALUES (:id, :namespace, :target, :content_type, :content, :created, :due, :attempts,
                :error, :sent, :answer)
            ON CONFLICT (id) DO UPDATE SET due = excluded.due, attempts = excluded.attempts,
                error = excluded.error, sent = excluded.sent, answer = excluded.answer
            """,
            {of},
        ),
        delete=writing("DELETE FROM TABLE WHERE id = :id RETURNING id", {of}),
        due=reading("SELECT DISTINCT namespace, RECEIVER FROM TABLE WHERE due <= :now"),
        next_due=reading("SELECT min(due) FROM TABLE WHERE due > :now"),
        claim=writing(
            """
            UPDATE TABLE SET due = :until WHERE id IN (
                SELECT id FROM TABLE WHERE OWN AND due <= :now ORDER BY due, id LIMIT :limit
                {skip_locked}
            ) RETURNING COLUMNS
            """,
            {of},
        ),
        newest=reading(
            "SELECT COLUMNS FROM TABLE WHERE OWN ORDER BY created DESC, id DESC LIMIT :limit"
        ),
        given_up=reading(
            """
            SELECT COLUMNS FROM TABLE WHERE OWN AND due IS NULL AND sent IS NULL
            ORDER BY created DESC, id DESC LIMIT :limit
            """
        ),
        retry=writing(
            """
            UPDATE TABLE SET due = :now, created = :now
            WHERE OWN AND due IS NULL AND sent IS NULL RETURNING id
            """
        ),
        forget_given_up=writing(
            """
            DELETE FROM TABLE WHERE due IS NULL AND sent IS NULL AND created < :before RETURNING id
            """,
            {of},
        ),
        forget_finished=writing(
            """
            DELETE FROM TABLE WHERE OWN AND due IS NULL AND (created < :before OR id NOT IN (
                SELECT id FROM TABLE WHERE OWN AND due IS NULL
                ORDER BY created DESC, id DESC LIMIT :limit
            )) RETURNING id
            """,
            {of},
        ),
        count=reading(
            """
            SELECT count(due), count(CASE WHEN due IS NULL AND sent IS NULL THEN 1 END), max(sent)
            FROM TABLE WHERE OWN
            """
        ),
    )


CALLBACK_DELIVERIES = delivery_table("delivery", "callback", of="callback")
CHANNEL_DELIVERIES = delivery_table("message", "channel", of="resource")
_TABLES: Mapping[Queue, DeliveryTable] = {
    Queue.CALLBACKS: CALLBACK_DELIVERIES,
    Queue.CHANNELS: CHANNEL_DELIVERIES,
}


class DeliveryPart(TransactionPart):
    """What is to be delivered, what was, and what was given up."""

    def put_delivery(self, delivery: Delivery) -> None:
        """Queue the delivery, or record the result of an attempt; its content never changes.

        NotFound if there is no such receiver.
        """
        try:
            self._run(_TABLES[delivery.queue].put, _row_of(delivery))
        except BrokenReference as error:
            raise NotFound(delivery.queue, delivery.target) from error

    def delete_delivery(self, delivery_id: str, queue: Queue = Queue.CALLBACKS) -> bool:
        return bool(self._run(_TABLES[queue].delete, {"id": delivery_id}))

    def due_receivers(
        self, now: datetime, queue: Queue = Queue.CALLBACKS
    ) -> Sequence[tuple[str, str]]:
        """Each receiver (namespace, name) with a delivery due at *now*, once."""
        found = self._run(_TABLES[queue].due, {"now": micros(now)})
        return [(namespace, name) for namespace, name in found]

    def next_due(self, now: datetime, queue: Queue = Queue.CALLBACKS) -> datetime | None:
        """When the next delivery after *now* is due; None if there is none."""
        (due,) = self._run(_TABLES[queue].next_due, {"now": micros(now)})[0]
        return moment_or_none(due)

    def claim_deliveries(
        self,
        namespace: str,
        name: str,
        *,
        now: datetime,
        until: datetime,
        limit: int,
        queue: Queue = Queue.CALLBACKS,
    ) -> Sequence[Delivery]:
        """Deliveries of the receiver due at *now*, those that are longest overdue, oldest first.

        They are due again at *until*; of several servers that claim them one gets each.
        """
        bounds = {"now": micros(now), "until": micros(until), "limit": limit}
        key: dict[str, str | int] = {"namespace": namespace, "name": name}
        found = [
            _delivery_of(row, queue) for row in self._run(_TABLES[queue].claim, {**key, **bounds})
        ]
        return sorted(found, key=lambda each: (each.created, each.id))

    def newest_deliveries(
        self, namespace: str, name: str, limit: int, queue: Queue = Queue.CALLBACKS
    ) -> Sequence[Delivery]:
        """Deliveries of the receiver in whatever state, newest first."""
        key: Parameters = {"namespace": namespace, "name": name, "limit": limit}
        return [_delivery_of(row, queue) for row in self._run(_TABLES[queue].newest, key)]

    def given_up(
        self, namespace: str, name: str, limit: int, queue: Queue = Queue.CALLBACKS
    ) -> Sequence[Delivery]:
        """Deliveries of the receiver that were given up, newest first."""
        key: Parameters = {"namespace": namespace, "name": name, "limit": limit}
        return [_delivery_of(row, queue) for row in self._run(_TABLES[queue].given_up, key)]

    def retry_given_up(
        self, namespace: str, name: str, now: datetime, queue: Queue = Queue.CALLBACKS
    ) -> int:
        """Queue all of them again, as if created at *now*; how many there were."""
        key: Parameters = {"namespace": namespace, "name": name, "now": micros(now)}
        return len(self._run(_TABLES[queue].retry, key))

    def forget_given_up(self, before: datetime, queue: Queue = Queue.CALLBACKS) -> int:
        """Delete what was given up and is older than *before*; how many there were."""
        return len(self._run(_TABLES[queue].forget_given_up, {"before": micros(before)}))

    def forget_finished(
        self, namespace: str, name: str, *, keep: int, before: datetime, queue: Queue
    ) -> int:
        """Delete what neither waits nor is newer than *before*, or among the newest *keep*."""
        key: dict[str, str | int] = {"namespace": namespace, "name": name}
        bounds = {"limit": keep, "before": micros(before)}
        return len(self._run(_TABLES[queue].forget_finished, {**key, **bounds}))

    def count_deliveries(
        self, namespace: str, name: str, queue: Queue
    ) -> tuple[int, int, datetime | None]:
        """How many wait and how many were given up, and when the last one was sent."""
        pending, given_up, sent = self._run(
            _TABLES[queue].count, {"namespace": namespace, "name": name}
        )[0]
        return pending, given_up, moment_or_none(sent)


def _delivery_of(row: Row, queue: Queue) -> Delivery:
    """The delivery of a row of `_COLUMNS`."""
    own_id, namespace, target, content_type, content, created, due, attempts, error, *end = row
    return Delivery(
        own_id,
        namespace,
        target,
        content,
        moment(created),
        moment_or_none(due),
        content_type,
        attempts,
        error,
        moment_or_none(end[0]),
        end[1],
        queue,
    )


def _row_of(delivery: Delivery) -> Parameters:
    """Parameters of `DeliveryTable.put`."""
    return {
        "id": delivery.id,
        "namespace": delivery.namespace,
        "target": delivery.target,
        "content_type": delivery.content_type,
        "content": delivery.content,
        "created": micros(delivery.created),
        "due": micros_or_none(delivery.due),
        "attempts": delivery.attempts,
        "error": delivery.error,
        "sent": micros_or_none(delivery.sent),
        "answer": delivery.answer,
    }
