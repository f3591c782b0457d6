"""Common parts of kinds without versions that have a table of their own: batches, callbacks.

A row has a sealed document for each thing; what else it has is the business of its kind.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import msgspec

from cloud.core.kinds import ResourceKind
from cloud.core.listing import NumberedPage, PageOptions
from cloud.core.resource import UnversionedResource
from cloud.store.parts.part import described, first, numbered
from cloud.store.parts.row_sets import Lookup, RowSetPart
from cloud.store.rows import Row, moment
from cloud.store.statements import Statement, statement

U = TypeVar("U", bound=UnversionedResource[Any])


@dataclass(frozen=True, slots=True)
class DocumentTable:
    """The statements of one such table; *names* and *reseal* are for a new key."""

    find: Statement
    row: Lookup[Sequence[Row]]
    every: Statement
    count: Statement
    newest: Statement
    put: Statement
    delete: Statement
    names: Statement
    reseal: Statement


def document_table(
    table: str, *, checked: Collection[str] = (), emptied: Collection[str] = ()
) -> DocumentTable:
    """The statements of *table*, a constant.

    To delete a row, the tables *checked* are read for rows that refer to it, and from the tables
    *emptied* such rows are deleted too.
    """

    def reading(text: str) -> Statement:
        return statement(text.replace("TABLE", table), reads={table})

    def writing(text: str, reads: Collection[str] = (), writes: Collection[str] = ()) -> Statement:
        return statement(text.replace("TABLE", table), reads=reads, writes={table, *writes})

    find = reading(
        """
        SELECT namespace, name, document, created, updated FROM TABLE
        WHERE namespace = :namespace AND name = :name
        """
    )
    return DocumentTable(
        find=find,
        row=Lookup(find, None, lambda _place, rows: rows),
        every=reading(
            """
            SELECT namespace, name, document, created, updated FROM TABLE
            WHERE namespace = :namespace ORDER BY created, name
            """
        ),
        count=reading(
            """
            SELECT count(*) FROM TABLE WHERE namespace = :namespace AND {position}(name, :part) > 0
            """
        ),
        newest=reading(
            """
            SELECT namespace, name, document, created, updated FROM TABLE
            WHERE namespace = :namespace AND {position}(name, :part) > 0
            ORDER BY created DESC, name DESC LIMIT :limit OFFSET :skipped
            """
        ),
        put=writing(
            """
            INSERT INTO TABLE (namespace, name, document, created, updated)
            VALUES (:namespace, :name, :document, :created, :updated)
            ON CONFLICT (namespace, name) DO UPDATE SET
                document = excluded.document, created = excluded.created,
                updated = excluded.updated
            """
        ),
        delete=writing(
            "DELETE FROM TABLE WHERE namespace = :namespace AND name = :name RETURNING name",
            checked,
            emptied,
        ),
        names=reading("SELECT namespace, name FROM TABLE"),
        reseal=writing(
            """
            UPDATE TABLE SET document = :document WHERE namespace = :namespace AND name = :name
            """
        ),
    )


class DocumentPart(RowSetPart):
    """Things with a sealed document in a table of their own."""

    def _find(self, table: DocumentTable, noun: type[U], namespace: str, name: str) -> U | None:
        found = self._sets.value(table.row, (namespace, name))
        return first(lambda row: self._thing(noun, row), found)

    def _every(self, table: DocumentTable, noun: type[U], namespace: str) -> Sequence[U]:
        return [self._thing(noun, row) for row in self._run(table.every, {"namespace": namespace})]

    def _numbered_page(
        self, table: DocumentTable, noun: type[U], namespace: str, options: PageOptions
    ) -> NumberedPage[U]:
        """The page that *options* asks for, newest first; past the end it is empty."""
        key = {"namespace": namespace, "part": options.name.lower()}
        total: int = self._run(table.count, key)[0][0]
        found = self._run(table.newest, {**key, **numbered(options)})
        things = [self._thing(noun, row) for row in found]
        return NumberedPage(things, total, options.number, options.size)

    def _put_document(self, table: DocumentTable, thing: UnversionedResource[Any]) -> None:
        """Only the columns of the description change."""
        self._run(table.put, described(thing, self._sealed(thing.kind.logged_as, thing)))

    def _delete_document(self, table: DocumentTable, namespace: str, name: str) -> bool:
        return bool(self._run(table.delete, {"namespace": namespace, "name": name}))

    def _thing(self, noun: type[U], row: Row) -> U:
        namespace, name, text, created, updated = row
        plain = self._sealer.unseal(text, noun.kind.logged_as, namespace, name)
        spec = _decoder(noun.kind).decode(plain)
        return noun(namespace, name, spec, moment(created), moment(updated))


@cache
def _decoder(kind: ResourceKind) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind.spec)
