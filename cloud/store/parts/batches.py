"""Batches and their records."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cloud.core.batch import Batch, Record
from cloud.core.fingerprint import normalised
from cloud.core.listing import NumberedPage, PageOptions
from cloud.errors import Conflict, HasRecords, NotFound
from cloud.store.parts.documents import DocumentPart, document_table
from cloud.store.parts.part import (
    BrokenReference,
    DuplicateKey,
    first,
    numbered,
)
from cloud.store.rows import Parameters, Row, micros, micros_or_none, moment, moment_or_none
from cloud.store.statements import statement

BATCHES = document_table("batch", checked={"record"})

RECORD = statement(
    """
    SELECT namespace, batch, name, fingerprint, node_name, created, updated,
        active, active_ip, active_time FROM record
    WHERE namespace = :namespace AND batch = :batch AND name = :name
    """,
    reads={"record"},
)
RECORD_BY_FINGERPRINT = statement(
    """
    SELECT namespace, batch, name, fingerprint, node_name, created, updated,
        active, active_ip, active_time FROM record
    WHERE namespace = :namespace AND batch = :batch AND normalised = :normalised
    """,
    reads={"record"},
)
RECORDS = statement(
    """
    SELECT namespace, batch, name, fingerprint, node_name, created, updated,
        active, active_ip, active_time FROM record
    WHERE namespace = :namespace AND batch = :batch ORDER BY created, name
    """,
    reads={"record"},
)
FINGERPRINTS = statement(
    """
    SELECT fingerprint FROM record
    WHERE namespace = :namespace AND batch = :batch ORDER BY created, name
    """,
    reads={"record"},
)
COUNT_RECORDS = statement(
    "SELECT records FROM batch WHERE namespace = :namespace AND name = :batch",
    reads={"batch"},
)
RECORDS_ADDED = statement(
    """
    UPDATE batch SET records = records + :added WHERE namespace = :namespace AND name = :batch
    """,
    writes={"batch"},
)
NEWEST_RECORDS = statement(
    """
    SELECT namespace, batch, name, fingerprint, node_name, created, updated,
        active, active_ip, active_time FROM record
    WHERE namespace = :namespace AND batch = :batch
    ORDER BY created DESC, name DESC LIMIT :limit OFFSET :skipped
    """,
    reads={"record"},
)
COUNT_RECORDS_NAMED = statement(
    """
    SELECT count(*) FROM record WHERE namespace = :namespace AND batch = :batch
        AND ({position}(normalised, :part) > 0 OR (name <> normalised
            AND {position}(name, :part) > 0))
    """,
    reads={"record"},
)
NEWEST_RECORDS_NAMED = statement(
    """
    SELECT namespace, batch, name, fingerprint, node_name, created, updated,
        active, active_ip, active_time FROM record
    WHERE namespace = :namespace AND batch = :batch
        AND ({position}(normalised, :part) > 0 OR (name <> normalised
            AND {position}(name, :part) > 0))
    ORDER BY created DESC, name DESC LIMIT :limit OFFSET :skipped
    """,
    reads={"record"},
)
RECORDS_OF_NODE = statement(
    """
    SELECT namespace, batch, name, fingerprint, node_name, created, updated,
        active, active_ip, active_time FROM record
    WHERE namespace = :namespace AND node_name = :node_name ORDER BY created, name, batch
    """,
    reads={"record"},
)
UPDATE_RECORD = statement(
    """
    UPDATE record SET fingerprint = :fingerprint, normalised = :normalised, node_name = :node_name,
        created = :created, updated = :updated,
        active = :active, active_ip = :active_ip, active_time = :active_time
    WHERE namespace = :namespace AND batch = :batch AND name = :name RETURNING name
    """,
    writes={"record"},
)
ADD_RECORD = statement(
    """
    INSERT INTO record (namespace, batch, name, fingerprint, normalised, node_name, created,
        updated,
        active, active_ip, active_time)
    VALUES (:namespace, :batch, :name, :fingerprint, :normalised, :node_name, :created, :updated,
        :active, :active_ip, :active_time)
    """,
    reads={"batch"},
    writes={"record"},
)
ADD_RECORDS = statement(
    """
    INSERT INTO record (namespace, batch, name, fingerprint, normalised, node_name, created,
        updated,
        active, active_ip, active_time)
    SELECT :namespace, :batch, given.key, given.key, given.value, given.key, :now, :now, 0, '',
        NULL
    FROM {members[names]}
    """,
    reads={"batch"},
    writes={"record", "sqlite_master"},
)
DELETE_RECORD = statement(
    """
    DELETE FROM record WHERE namespace = :namespace AND batch = :batch AND name = :name
        RETURNING name
    """,
    reads={"batch"},
    writes={"record"},
)
COUNT_ACTIVATIONS = statement(
    """
    SELECT count(*) FROM record WHERE namespace = :namespace AND active_time > :since
    """,
    reads={"record"},
)

_ADDED_AT_ONCE = 10_000


class BatchPart(DocumentPart):
    """How devices are known."""

    def batch(self, namespace: str, name: str) -> Batch | None:
        return self._find(BATCHES, Batch, namespace, name)

    def batches(self, namespace: str) -> Sequence[Batch]:
        return self._every(BATCHES, Batch, namespace)

    def list_batches(self, namespace: str, options: PageOptions) -> NumberedPage[Batch]:
        """The page that *options* asks for, newest first; past the end it is empty."""
        return self._numbered_page(BATCHES, Batch, namespace, options)

    def put_batch(self, batch: Batch) -> None:
        self._put_document(BATCHES, batch)

    def delete_batch(self, namespace: str, name: str) -> bool:
        """HasRecords while there are records of the batch."""
        try:
            return self._delete_document(BATCHES, namespace, name)
        except BrokenReference as error:
            raise HasRecords(name) from error

    def record(self, namespace: str, batch: str, name: str) -> Record | None:
        key = {"namespace": namespace, "batch": batch, "name": name}
        return first(_record_of, self._run(RECORD, key))

    def record_by_fingerprint(self, namespace: str, batch: str, fingerprint: str) -> Record | None:
        """The record whose normalised fingerprint is that of *fingerprint*."""
        key = {"namespace": namespace, "batch": batch, "normalised": normalised(fingerprint)}
        return first(_record_of, self._run(RECORD_BY_FINGERPRINT, key))

    def records(self, namespace: str, batch: str) -> Sequence[Record]:
        found = self._run(RECORDS, {"namespace": namespace, "batch": batch})
        return [_record_of(row) for row in found]

    def fingerprints(self, namespace: str, batch: str) -> Sequence[str]:
        """The fingerprint of each record."""
        found = self._run(FINGERPRINTS, {"namespace": namespace, "batch": batch})
        return [fingerprint for (fingerprint,) in found]

    def list_records(
        self, namespace: str, batch: str, options: PageOptions
    ) -> NumberedPage[Record]:
        """The page that *options* asks for, newest first; a name is looked for in fingerprints too.

        Past the end it is empty.
        """
        key = {"namespace": namespace, "batch": batch, "part": options.name.lower()}
        if options.name:
            newest = NEWEST_RECORDS_NAMED
            total: int = self._run(COUNT_RECORDS_NAMED, key)[0][0]
        else:
            newest = NEWEST_RECORDS
            total = self.count_records(namespace, batch)
        where = numbered(options)
        # Where nothing is left to be found, it is not looked for through all records.
        found = self._run(newest, {**key, **where}) if where["skipped"] < total else ()
        records = [_record_of(row) for row in found]
        return NumberedPage(records, total, options.number, options.size)

    def records_of_node(self, namespace: str, node_name: str) -> Sequence[Record]:
        """Records of any batch that stand for the node of that name."""
        found = self._run(RECORDS_OF_NODE, {"namespace": namespace, "node_name": node_name})
        return [_record_of(row) for row in found]

    def count_records(self, namespace: str, batch: str) -> int:
        """How many there are, at no cost: activation asks for it."""
        found = self._run(COUNT_RECORDS, {"namespace": namespace, "batch": batch})
        count: int = found[0][0] if found else 0
        return count

    def put_record(self, record: Record) -> None:
        """Conflict if another record of the batch has the same normalised fingerprint.

        NotFound if there is no such batch.
        """
        row = _record_row(record)
        try:
            if not self._run(UPDATE_RECORD, row):
                self._run(ADD_RECORD, row)
                self._count_added(record.namespace, record.batch, 1)
        except DuplicateKey as error:
            raise Conflict("record", record.name) from error
        except BrokenReference as error:
            raise NotFound("batch", record.batch) from error

    def add_records(self, namespace: str, batch: str, names: Sequence[str], now: datetime) -> None:
        """Put a new record for each name, with the name as its fingerprint and as its node's.

        Conflict if one of the names or its normalised fingerprint is taken, NotFound if there is no
        such batch.
        """
        if len(set(names)) < len(names):
            raise Conflict("batch", batch)
        row: Parameters = {"namespace": namespace, "batch": batch, "now": micros(now)}
        # In the order of the indexes, so that each of their pages is written once.
        ordered = sorted(names)
        for start in range(0, len(ordered), _ADDED_AT_ONCE):
            own = {name: normalised(name) for name in ordered[start : start + _ADDED_AT_ONCE]}
            try:
                self._run(ADD_RECORDS, {**row, "names": msgspec.json.encode(own).decode()})
            except DuplicateKey as error:
                raise Conflict("batch", batch) from error
            except BrokenReference as error:
                raise NotFound("batch", batch) from error
        self._count_added(namespace, batch, len(ordered))

    def delete_record(self, namespace: str, batch: str, name: str) -> bool:
        key = {"namespace": namespace, "batch": batch, "name": name}
        there = bool(self._run(DELETE_RECORD, key))
        if there:
            self._count_added(namespace, batch, -1)
        return there

    def count_activations(self, namespace: str, since: datetime) -> int:
        """How many devices activated last after *since*."""
        where: Parameters = {"namespace": namespace, "since": micros(since)}
        return int(self._run(COUNT_ACTIVATIONS, where)[0][0])

    def _count_added(self, namespace: str, batch: str, added: int) -> None:
        self._run(RECORDS_ADDED, {"namespace": namespace, "batch": batch, "added": added})


def _record_of(row: Row) -> Record:
    """The record of a row of `RECORD`."""
    namespace, batch, name, fingerprint, node_name, created, updated, active, ip, time = row
    return Record(
        namespace,
        batch,
        name,
        fingerprint,
        node_name,
        moment(created),
        moment(updated),
        active=bool(active),
        active_ip=ip,
        active_time=moment_or_none(time),
    )


def _record_row(record: Record) -> Parameters:
    """Parameters of `ADD_RECORD`."""
    return {
        "namespace": record.namespace,
        "batch": record.batch,
        "name": record.name,
        "fingerprint": record.fingerprint,
        "normalised": normalised(record.fingerprint),
        "node_name": record.node_name,
        "created": micros(record.created),
        "updated": micros(record.updated),
        "active": int(record.active),
        "active_ip": record.active_ip,
        "active_time": micros_or_none(record.active_time),
    }
