"""Real things for tests, opened in a directory of their own."""

import contextlib
import functools
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from cloud.store.sealing import load_or_create_sealer
from cloud.store.sqlite import open_sqlite_store
from cloud.store.transaction import NotifyingStore
from cloud.store.upkeep import SqliteDatabase
from cloud.store.witness import load_or_create_witness


@contextlib.asynccontextmanager
async def open_store(directory: Path) -> AsyncIterator[NotifyingStore]:
    """A store whose database and key are in *directory*; opened there again, it is the same."""
    file = directory / "edgesync.db"
    if not file.exists():
        file.write_bytes(_empty_database())
    sealer = load_or_create_sealer(directory / "secrets.key")
    witness = load_or_create_witness(directory)
    async with open_sqlite_store(file, sealer=sealer, witness=witness) as store:
        yield store


@functools.cache
def _empty_database() -> bytes:
    """A database that no server has opened yet, with all its tables.

    Making them, each step on disk before the next, is most of what opening a store takes.
    """
    with tempfile.TemporaryDirectory(prefix="edgesync-") as name:
        file = Path(name) / "edgesync.db"
        file.touch()
        SqliteDatabase(file).in_transaction(lambda _run: None)
        return file.read_bytes()
