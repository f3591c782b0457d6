"""Selections on SQLite: which way a statement takes changes nothing of what it finds."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.core.node import effective_labels
from cloud.core.selectors import integer_of, matches, parse_selector
from cloud.store.label_sets import SETS_AT_MOST
from cloud.store.label_text import label_text
from cloud.store.migrations import migrate
from cloud.store.parts.labels import PUT_LABEL
from cloud.store.parts.nodes import ADD_STATUS, PUT_NODE
from cloud.store.rows import Parameters, Row
from cloud.store.selection import NAMES, NODE, SORTED_AT_MOST, Selection
from cloud.store.statements import Statement
from tests.core.strategies import labels, selectors

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


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(fleet=st.lists(labels, max_size=5), terms=st.lists(selectors(), min_size=2, max_size=2))
def test_nodes_are_counted_by_the_texts_of_their_labels(
    connection: sqlite3.Connection, fleet: list[dict[str, str]], terms: list[str]
) -> None:
    """As where many nodes satisfy each term; a long text is left out, and the labels looked up.

    It makes no difference whether there are too many sets of labels to look at each.
    """
    connection.execute("DELETE FROM label")
    connection.execute("DELETE FROM node_status")
    connection.execute("DELETE FROM node")
    for number, own in enumerate(fleet):
        key: Parameters = {"namespace": "default", "name": f"n{number}", "created": number}
        node: Parameters = {"document": "{}", "updated": 0, "mode": "cloud", "core": "{}"}
        connection.execute(PUT_NODE.sqlite, {**key, **node})
        text = label_text(own) if number % 2 else None
        connection.execute(ADD_STATUS.sqlite, {**key, "labels": text})
        for label, value in effective_labels(f"n{number}", own).items():
            row: Parameters = {"key": label, "value": value, "number": integer_of(value)}
            connection.execute(PUT_LABEL.sqlite, {**key, **row, "kind": NODE})
    selector = parse_selector(",".join(filter(str.strip, terms)))
    wanted = sum(
        matches(selector, effective_labels(f"n{number}", own)) for number, own in enumerate(fleet)
    )
    run = Recorded(connection)
    for sets in (0, SETS_AT_MOST):
        assert Selection(run, NODE, "default", selector, many=0, sets=sets).total() == wanted
