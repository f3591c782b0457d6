"""Callbacks, and what they have yet to be told."""
# ruff: noqa: D102  # `interface` says what each method promises

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cloud.core.callback import Callback, CallbackSpec, Delivery, Outcome
from cloud.core.listing import NumberedPage, PageOptions
from cloud.errors import NotFound
from cloud.store import sql
from cloud.store.parts.part import BrokenReference, Part, described, first, numbered
from cloud.store.rows import (
    Parameters,
    Row,
    delivery_of,
    delivery_row,
    micros,
    moment,
    moment_or_none,
)

_CALLBACK = "callback"
_CALLBACK_SPEC = msgspec.json.Decoder(CallbackSpec)


class CallbackPart(Part):
    """What is told to others."""

    def callback(self, namespace: str, name: str) -> Callback | None:
        key = {"namespace": namespace, "name": name}
        return first(self._callback, self._run(sql.CALLBACK, key))

    def list_callbacks(self, namespace: str, options: PageOptions) -> NumberedPage[Callback]:
        key = {"namespace": namespace, "part": options.name.lower()}
        total: int = self._run(sql.COUNT_CALLBACKS, key)[0][0]
        found = self._run(sql.NEWEST_CALLBACKS, {**key, **numbered(options)})
        callbacks = [self._callback(row) for row in found]
        return NumberedPage(callbacks, total, options.number, options.size)

    def put_callback(self, callback: Callback) -> None:
        self._run(sql.PUT_CALLBACK, described(callback, self._sealed(_CALLBACK, callback)))

    def delete_callback(self, namespace: str, name: str) -> bool:
        return bool(self._run(sql.DELETE_CALLBACK, {"namespace": namespace, "name": name}))

    def callback_outcome(self, namespace: str, name: str) -> Outcome:
        key = {"namespace": namespace, "name": name}
        found = self._run(sql.CALLBACK_OUTCOME, key)
        if not found:
            return Outcome()
        success, error, error_time, pending, given_up = found[0]
        return Outcome(
            moment_or_none(success), error, moment_or_none(error_time), pending, given_up
        )

    def note_success(self, namespace: str, name: str, now: datetime) -> None:
        self._run(sql.NOTE_SUCCESS, {"namespace": namespace, "name": name, "now": micros(now)})

    def note_error(self, namespace: str, name: str, error: str, now: datetime) -> None:
        key = {"namespace": namespace, "name": name}
        self._run(sql.NOTE_ERROR, {**key, "error": error, "now": micros(now)})

    # deliveries
    def put_delivery(self, delivery: Delivery) -> None:
        try:
            self._run(sql.PUT_DELIVERY, delivery_row(delivery))
        except BrokenReference as error:
            raise NotFound("callback", delivery.callback) from error

    def delete_delivery(self, delivery_id: str) -> bool:
        return bool(self._run(sql.DELETE_DELIVERY, {"id": delivery_id}))

    def due_callbacks(self, now: datetime) -> Sequence[tuple[str, str]]:
        found = self._run(sql.DUE_CALLBACKS, {"now": micros(now)})
        return [(namespace, name) for namespace, name in found]

    def next_due(self, now: datetime) -> datetime | None:
        (due,) = self._run(sql.NEXT_DUE, {"now": micros(now)})[0]
        return moment_or_none(due)

    def due_deliveries(
        self, namespace: str, name: str, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        key = {"namespace": namespace, "name": name}
        found = self._run(sql.DUE_DELIVERIES, {**key, "now": micros(now), "limit": limit})
        return [delivery_of(row) for row in found]

    def given_up(self, namespace: str, name: str, limit: int) -> Sequence[Delivery]:
        key: Parameters = {"namespace": namespace, "name": name, "limit": limit}
        return [delivery_of(row) for row in self._run(sql.GIVEN_UP, key)]

    def retry_given_up(self, namespace: str, name: str, now: datetime) -> int:
        key: Parameters = {"namespace": namespace, "name": name, "now": micros(now)}
        return len(self._run(sql.RETRY_GIVEN_UP, key))

    def forget_given_up(self, before: datetime) -> int:
        return len(self._run(sql.FORGET_GIVEN_UP, {"before": micros(before)}))

    def _callback(self, row: Row) -> Callback:
        namespace, name, text, created, updated = row
        spec = _CALLBACK_SPEC.decode(self._sealer.unseal(text, _CALLBACK, namespace, name))
        return Callback(namespace, name, spec, moment(created), moment(updated))
