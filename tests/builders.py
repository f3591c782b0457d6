"""Real things for tests, opened in a directory of their own."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from cloud.store.interface import WakingStore
from cloud.store.sealing import load_or_create_sealer
from cloud.store.sqlite import open_sqlite_store
from cloud.store.witness import load_or_create_witness


@contextlib.asynccontextmanager
async def open_store(directory: Path) -> AsyncIterator[WakingStore]:
    """A store whose database and key are in *directory*; opened there again, it is the same."""
    sealer = load_or_create_sealer(directory / "secrets.key")
    witness = load_or_create_witness(directory)
    async with open_sqlite_store(
        directory / "edgesync.db", sealer=sealer, witness=witness
    ) as store:
        yield store
