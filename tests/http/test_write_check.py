"""Whether the database takes writes, as readiness knows it."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from cloud.errors import Unavailable
from cloud.http.write_check import PROBE_EVERY, WriteCheck
from cloud.store.transaction import NotifyingStore
from tests.conftest import StoreFactory
from tests.deadlines import UNIT


class CheckTimer:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_interval(self) -> None:
        self.now += PROBE_EVERY.total_seconds()


@contextlib.contextmanager
def locked(directory: Path, url: str) -> Iterator[None]:
    """Nothing can write the probe in the block."""
    if url:
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE write_probe")
            yield
            connection.rollback()
    else:
        with contextlib.closing(sqlite3.connect(directory / "edgesync.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.rollback()


async def fails(check: WriteCheck) -> None:
    with pytest.raises((Unavailable, TimeoutError)):
        async with asyncio.timeout(0.3):
            await check.check()


def committed(store: NotifyingStore) -> int:
    return store.outcomes.committed


async def test_a_probe_is_written_where_nothing_else_is_and_not_often(
    tmp_path: Path, open_again: StoreFactory
) -> None:
    async with open_again(tmp_path) as store:
        timer = CheckTimer()
        check = WriteCheck(store, timer)
        before = committed(store)
        for _ in range(20):
            await check.check()
        assert committed(store) == before + 1
        timer.pass_interval()
        await store.write(lambda tx: None)
        for _ in range(20):
            await check.check()
        assert committed(store) == before + 3
        head = await store.read(lambda tx: tx.audit_head())
        assert head.number == 0, "a probe is no entry of the audit log"


async def test_writes_that_cannot_be_made_are_noticed_and_their_return_too(
    tmp_path: Path, open_again: StoreFactory, database_url: Callable[[Path], str]
) -> None:
    async with open_again(tmp_path) as store:
        timer = CheckTimer()
        check = WriteCheck(store, timer)
        await check.check()
        with locked(tmp_path, database_url(tmp_path)):
            timer.pass_interval()
            await fails(check)
            await fails(check)
        timer.pass_interval()
        async with asyncio.timeout(30 * UNIT):
            while True:
                with contextlib.suppress(Unavailable):
                    await check.check()
                    break
                timer.pass_interval()
        assert store.outcomes.trouble == ""


async def test_a_write_that_failed_counts_at_once(tmp_path: Path, open_again: StoreFactory) -> None:
    async with open_again(tmp_path) as store:
        check = WriteCheck(store, CheckTimer())
        await check.check()
        store.outcomes.record("the disk is full")
        with pytest.raises(Unavailable):
            await check.check()
        await store.write(lambda tx: None)
        await check.check()
