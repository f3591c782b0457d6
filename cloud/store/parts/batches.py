"""Batches and their records."""
# ruff: noqa: D102  # `interface` says what each method promises

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cloud.core.batch import Batch, BatchSpec, Record
from cloud.core.fingerprint import normalised
from cloud.core.listing import NumberedPage, PageOptions
from cloud.errors import Conflict, HasRecords, NotFound
from cloud.store import sql
from cloud.store.parts.part import (
    BrokenReference,
    DuplicateKey,
    Part,
    described,
    first,
    numbered,
)
from cloud.store.rows import (
    Parameters,
    Row,
    micros,
    moment,
    record_of,
    record_row,
)

_BATCH = "batch"
_ADDED_AT_ONCE = 10_000
_BATCH_SPEC = msgspec.json.Decoder(BatchSpec)


class BatchPart(Part):
    """What devices are known by."""

    def batch(self, namespace: str, name: str) -> Batch | None:
        return first(self._batch, self._run(sql.BATCH, {"namespace": namespace, "name": name}))

    def batches(self, namespace: str) -> Sequence[Batch]:
        return [self._batch(row) for row in self._run(sql.BATCHES, {"namespace": namespace})]

    def list_batches(self, namespace: str, options: PageOptions) -> NumberedPage[Batch]:
        key = {"namespace": namespace, "part": options.name.lower()}
        total: int = self._run(sql.COUNT_BATCHES, key)[0][0]
        found = self._run(sql.NEWEST_BATCHES, {**key, **numbered(options)})
        batches = [self._batch(row) for row in found]
        return NumberedPage(batches, total, options.number, options.size)

    def put_batch(self, batch: Batch) -> None:
        self._run(sql.PUT_BATCH, described(batch, self._sealed(_BATCH, batch)))

    def delete_batch(self, namespace: str, name: str) -> bool:
        try:
            return bool(self._run(sql.DELETE_BATCH, {"namespace": namespace, "name": name}))
        except BrokenReference as error:
            raise HasRecords(name) from error

    def record(self, namespace: str, batch: str, name: str) -> Record | None:
        key = {"namespace": namespace, "batch": batch, "name": name}
        return first(record_of, self._run(sql.RECORD, key))

    def record_by_fingerprint(self, namespace: str, batch: str, fingerprint: str) -> Record | None:
        key = {"namespace": namespace, "batch": batch, "normalised": normalised(fingerprint)}
        return first(record_of, self._run(sql.RECORD_BY_FINGERPRINT, key))

    def records(self, namespace: str, batch: str) -> Sequence[Record]:
        found = self._run(sql.RECORDS, {"namespace": namespace, "batch": batch})
        return [record_of(row) for row in found]

    def fingerprints(self, namespace: str, batch: str) -> Sequence[str]:
        found = self._run(sql.FINGERPRINTS, {"namespace": namespace, "batch": batch})
        return [fingerprint for (fingerprint,) in found]

    def list_records(
        self, namespace: str, batch: str, options: PageOptions
    ) -> NumberedPage[Record]:
        key = {"namespace": namespace, "batch": batch, "part": options.name.lower()}
        if options.name:
            newest = sql.NEWEST_RECORDS_NAMED
            total: int = self._run(sql.COUNT_RECORDS_NAMED, key)[0][0]
        else:
            newest = sql.NEWEST_RECORDS
            total = self.count_records(namespace, batch)
        where = numbered(options)
        # Where nothing is left to be found, it is not looked for through all records.
        found = self._run(newest, {**key, **where}) if where["skipped"] < total else ()
        records = [record_of(row) for row in found]
        return NumberedPage(records, total, options.number, options.size)

    def records_of_node(self, namespace: str, node_name: str) -> Sequence[Record]:
        found = self._run(sql.RECORDS_OF_NODE, {"namespace": namespace, "node_name": node_name})
        return [record_of(row) for row in found]

    def count_records(self, namespace: str, batch: str) -> int:
        found = self._run(sql.COUNT_RECORDS, {"namespace": namespace, "batch": batch})
        count: int = found[0][0] if found else 0
        return count

    def put_record(self, record: Record) -> None:
        row = record_row(record)
        try:
            if not self._run(sql.UPDATE_RECORD, row):
                self._run(sql.ADD_RECORD, row)
                self._count_added(record.namespace, record.batch, 1)
        except DuplicateKey as error:
            raise Conflict("record", record.name) from error
        except BrokenReference as error:
            raise NotFound("batch", record.batch) from error

    def add_records(self, namespace: str, batch: str, names: Sequence[str], now: datetime) -> None:
        if len(set(names)) < len(names):
            raise Conflict("batch", batch)
        row: Parameters = {"namespace": namespace, "batch": batch, "now": micros(now)}
        # In the order of the indexes, so that each of their pages is written once.
        ordered = sorted(names)
        for start in range(0, len(ordered), _ADDED_AT_ONCE):
            own = {name: normalised(name) for name in ordered[start : start + _ADDED_AT_ONCE]}
            try:
                self._run(sql.ADD_RECORDS, {**row, "names": msgspec.json.encode(own).decode()})
            except DuplicateKey as error:
                raise Conflict("batch", batch) from error
            except BrokenReference as error:
                raise NotFound("batch", batch) from error
        self._count_added(namespace, batch, len(ordered))

    def delete_record(self, namespace: str, batch: str, name: str) -> bool:
        key = {"namespace": namespace, "batch": batch, "name": name}
        there = bool(self._run(sql.DELETE_RECORD, key))
        if there:
            self._count_added(namespace, batch, -1)
        return there

    def _count_added(self, namespace: str, batch: str, added: int) -> None:
        self._run(sql.RECORDS_ADDED, {"namespace": namespace, "batch": batch, "added": added})

    def _batch(self, row: Row) -> Batch:
        namespace, name, text, created, updated = row
        spec = _BATCH_SPEC.decode(self._sealer.unseal(text, _BATCH, namespace, name))
        return Batch(namespace, name, spec, moment(created), moment(updated))
