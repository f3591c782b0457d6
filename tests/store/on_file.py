"""Run statements on a database file of SQLite, beside a store."""

import sqlite3
from collections.abc import Sequence

from cloud.store.rows import Parameters, Row
from cloud.store.statements import Statement


class OnFile:
    """A `Run` on a connection of SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __call__(self, statement: Statement, parameters: Parameters, /) -> Sequence[Row]:
        return self._connection.execute(statement.sqlite, parameters).fetchall()

    def each(self, statement: Statement, rows: Sequence[Parameters], /) -> None:
        for row in rows:
            self(statement, row)
