"""Batches and their records."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
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
from cloud.store.parts.row_sets import Lookup
from cloud.store.rows import Parameters, Row, micros, micros_or_none, moment, moment_or_none
from cloud.store.statements import set_statement, statement

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
RECORDS_NAMED = statement(
    """
    SELECT CAST({json_group_array}({json_array}(record.name, record.namespace, record.batch,
        record.name, record.fingerprint, record.node_name, record.created, record.updated,
        record.active, record.active_ip, record.active_time)) AS TEXT)
    FROM {elements[names]} CROSS JOIN record
    WHERE record.namespace = :namespace AND record.batch = :batch AND record.name = given.value
    """,
    reads={"record"},
)
RECORDS_BY_FINGERPRINT = statement(
    """
    SELECT CAST({json_group_array}({json_array}(record.normalised, record.namespace, record.batch,
        record.name, record.fingerprint, record.node_name, record.created, record.updated,
        record.active, record.active_ip, record.active_time)) AS TEXT)
    FROM {elements[names]} CROSS JOIN record
    WHERE record.namespace = :namespace AND record.batch = :batch
        AND record.normalised = given.value
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
RECORDS_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(record.node_name, record.namespace, record.batch,
        record.name, record.fingerprint, record.node_name, record.created, record.updated,
        record.active, record.active_ip, record.active_time)) AS TEXT)
    FROM {elements[names]} CROSS JOIN record
    WHERE record.namespace = :namespace AND record.node_name = given.value
    """,
    reads={"record"},
)
# Of records that are there or whose name and fingerprint are known to be free.
PUT_RECORD = set_statement(
    """
    INSERT INTO record (namespace, batch, name, fingerprint, normalised, node_name, created,
        updated,
        active, active_ip, active_time)
    SELECT :namespace, :batch, :name, :fingerprint, :normalised, :node_name, :created, :updated,
        :active, :active_ip, :active_time {rows}
    ON CONFLICT (namespace, batch, name) DO UPDATE SET
        updated = excluded.updated, active = excluded.active, active_ip = excluded.active_ip,
        active_time = excluded.active_time
    """,
    numbers={"created", "updated", "active", "active_time"},
    reads={"batch"},
    writes={"record"},
)
SET_RECORD_COUNT = set_statement(
    """
    UPDATE batch SET records = :records {rows}
    AND batch.namespace = :namespace AND batch.name = :batch
    """,
    numbers={"records"},
    order=2,
    writes={"batch"},
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
    writes={"record"},
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
        return self._sets.value(NAMED, (namespace, batch, name))

    def record_by_fingerprint(self, namespace: str, batch: str, fingerprint: str) -> Record | None:
        """The record whose normalised fingerprint is that of *fingerprint*."""
        return self._sets.value(BY_FINGERPRINT, (namespace, batch, normalised(fingerprint)))

    def expect_fingerprints(self, places: Iterable[tuple[str, str, str]]) -> None:
        """Look for all fingerprints (of namespace and batch) when one is asked for."""
        own = ((namespace, batch, normalised(one)) for namespace, batch, one in places)
        self._sets.expect(own, BY_FINGERPRINT.of)

    def expect_record(self, namespace: str, batch: str, name: str, node_name: str) -> None:
        """Look at this record and at its node together with others that are expected."""
        self._sets.expect([(namespace, batch, name)], NAMED.of)
        self._sets.expect([(namespace, node_name)], BY_NODE.of)
        self._sets.expect([(namespace, node_name)])

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
        return self._sets.value(BY_NODE, (namespace, node_name))

    def count_records(self, namespace: str, batch: str) -> int:
        """How many there are, at no cost: activation asks for it."""
        return self._sets.value(RECORD_COUNT, (namespace, batch))

    def put_record(self, record: Record) -> None:
        """Conflict if another record of the batch has the same normalised fingerprint.

        NotFound if there is no such batch.
        """
        row = _record_row(record)
        if self._is_put_later(record, row):
            return
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

    def _is_put_later(self, record: Record, row: Parameters) -> bool:
        """Have *record* written with others, if it is known that it meets no other one."""
        sets, place = self._sets, (record.namespace, record.batch, record.name)
        by = (record.namespace, record.batch, normalised(record.fingerprint))
        if not (sets.is_known(NAMED, place) and sets.is_known(BY_FINGERPRINT, by)):
            return False
        before = sets.value(NAMED, place)
        if before != sets.value(BY_FINGERPRINT, by):
            return False
        if before is not None and before != replace(
            record,
            updated=before.updated,
            active=before.active,
            active_ip=before.active_ip,
            active_time=before.active_time,
        ):
            return False
        keeps = (BY_FINGERPRINT, BY_NODE)
        sets.put(PUT_RECORD, place, row, place=place, becomes={NAMED: record}, keeps=keeps)
        sets.learn(BY_FINGERPRINT, by, record)
        of_node = (record.namespace, record.node_name)
        if sets.is_known(BY_NODE, of_node):
            others = [one for one in sets.value(BY_NODE, of_node) if one != before]
            found = sorted([*others, record], key=lambda one: (one.created, one.name, one.batch))
            sets.learn(BY_NODE, of_node, found)
        if before is None:
            self._count_added(record.namespace, record.batch, 1)
        return True

    def _count_added(self, namespace: str, batch: str, added: int) -> None:
        place = (namespace, batch)
        if self._sets.is_known(RECORD_COUNT, place):
            count = self._sets.value(RECORD_COUNT, place) + added
            set_: Parameters = {"namespace": namespace, "batch": batch, "records": count}
            self._sets.put(
                SET_RECORD_COUNT,
                place,
                set_,
                place=place,
                becomes={RECORD_COUNT: count},
                keeps=(BATCHES.row,),
            )
            return
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


RECORD_COUNT = Lookup(
    COUNT_RECORDS, None, lambda _place, rows: int(rows[0][0]) if rows else 0, ("namespace", "batch")
)
NAMED = Lookup(
    RECORD,
    RECORDS_NAMED,
    lambda _place, rows: first(_record_of, rows),
    ("namespace", "batch", "name"),
)
BY_FINGERPRINT = Lookup(
    RECORD_BY_FINGERPRINT,
    RECORDS_BY_FINGERPRINT,
    lambda _place, rows: first(_record_of, rows),
    ("namespace", "batch", "normalised"),
    is_by_key=False,
)
BY_NODE = Lookup(
    RECORDS_OF_NODE,
    RECORDS_OF_NODES,
    lambda _place, rows: sorted(
        map(_record_of, rows), key=lambda one: (one.created, one.name, one.batch)
    ),
    ("namespace", "node_name"),
    is_by_key=False,
)
