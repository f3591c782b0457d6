"""Selections on SQLite: which way a statement takes changes nothing of what it finds."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from cloud.core.selectors import parse_selector
from cloud.store.migrations import migrate
from cloud.store.parts.labels import PUT_LABEL
from cloud.store.parts.nodes import PUT_NODE
from cloud.store.rows import Parameters, Row
from cloud.store.selection import NAMES, NODE, SORTED_AT_MOST, Selection
from cloud.store.statements import Statement

NODES = 12


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """Nodes n0, n1, ...: `half` is 0 or 1 by turns, `number` counts, n0 and n4 have `spare`."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        migrate(opened)
        for number in range(NODES):
            key: Parameters = {"namespace": "default", "name": f"n{number}", "created": number}
            node: Parameters = {"document": "{}", "updated": 0, "mode": "cloud", "core": "{}"}
            opened.execute(PUT_NODE.sqlite, {**key, **node})
            labels = {"half": number % 2, "number": number}
            for label, value in (labels | ({"spare": 1} if number in {0, 4} else {})).items():
                own: Parameters = {"key": label, "value": str(value), "number": value}
                opened.execute(PUT_LABEL.sqlite, {**key, **own, "kind": NODE})
        yield opened


class Recorded:
    """The `Run` of *connection* that remembers what it was asked."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.statements: list[Statement] = []

    def __call__(self, statement: Statement, parameters: Parameters, /) -> Sequence[Row]:
        self.statements.append(statement)
        return self._connection.execute(statement.sqlite, parameters).fetchall()

    def each(self, statement: Statement, rows: Sequence[Parameters], /) -> None:
        for row in rows:
            self(statement, row)


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("", ["n0", "n1", "n2"]),
        ("half in (0,1)", ["n0", "n1", "n2"]),
        ("number", ["n0", "n1", "n2"]),
        ("number>4", ["n5", "n6", "n7"]),
        ("number>4,half=0", ["n6", "n8", "n10"]),
        ("number>2,number<9,!spare,half=0", ["n6", "n8"]),
        ("spare,half in (0,1)", ["n0", "n4"]),
        ("half!=0", ["n1", "n3", "n5"]),
    ],
)
def test_a_page_is_the_same_however_much_there_is(
    connection: sqlite3.Connection, selector: str, names: list[str]
) -> None:
    """What an index does not have in order is sorted where it is little, else met in order."""
    run = Recorded(connection)
    selection = Selection(run, NODE, "default", parse_selector(selector))
    for total in (selection.total(), SORTED_AT_MOST + 1):
        assert [name for name, _ in selection.page(None, 3, total)] == names
    if selector in {"number", "number>4"}:
        few, many = (one for one in run.statements if one.sqlite.startswith(NAMES.sqlite))
        assert few != many
