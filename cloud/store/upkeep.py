"""Transactions of who is no server."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from cloud.store.connection import Connection, open_connection
from cloud.store.migrations import migrate
from cloud.store.parts.part import Run

T = TypeVar("T")

LOCK_WAIT = timedelta(seconds=5)
"""How long to wait while somebody else locks the database."""


def in_transaction(database: Path, work: Callable[[Run], T]) -> T:
    """Run *work* on a database that is there, brought up to date first."""
    prepared = open_connection(database, lock_wait=LOCK_WAIT)
    try:
        migrate(prepared)
    finally:
        prepared.close()
    connection = Connection(database, lock_wait=LOCK_WAIT, read_only=False)
    try:
        return connection.in_transaction(work)
    finally:
        connection.close()
