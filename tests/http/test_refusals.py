"""Refused attempts in the audit log: bounded, and no address keeps those of others out."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud.core.audit import DEVICE, Action, Attempt, AuditFilter
from cloud.core.rate import Rate
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Denied
from cloud.http.refusals import RefusalLog
from cloud.store.transaction import Store
from tests.builders import open_store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as opened:
        yield opened


def connect(address: str) -> Attempt:
    return Attempt(DEVICE, Action.NODE_CONNECT, NOW, address=address)


async def recorded(store: Store) -> list[tuple[str, int]]:
    """Address, and how many were left out before, of each entry."""
    found = await store.read(
        lambda tx: tx.audit_links(AuditFilter(EVERYWHERE), below=2**63 - 1, limit=100)
    )
    return [(one.entry.attempt.address, left_out(one.entry.also)) for one in reversed(found)]


def left_out(also: str) -> int:
    number: int = json.loads(also).get("leftOut", 0)
    return number


async def test_one_address_keeps_no_other_out_of_the_log(store: Store) -> None:
    now = 0.0
    log = RefusalLog(store, lambda: now, rate=Rate(5, 1), address_rate=Rate(2, 0.1))
    for number in range(50):
        await log.record(connect(f"2001:db8::{number:x}"), Denied("no"))
    await log.record(connect("192.0.2.1"), Denied("no"))
    assert await recorded(store) == [
        ("2001:db8::0", 0),
        ("2001:db8::1", 0),
        ("192.0.2.1", 48),
    ]
    assert log.omitted == 48
    now = 10.0
    await log.record(connect("2001:db8::"), Denied("no"))
    assert (await recorded(store))[3:] == [("2001:db8::", 0)]


async def test_all_addresses_together_are_bounded_as_well(store: Store) -> None:
    log = RefusalLog(store, lambda: 0.0, rate=Rate(5, 1), address_rate=Rate(2, 0.1))
    for number in range(9):
        await log.record(connect(f"192.0.2.{number}"), Denied("no"))
    assert len(await recorded(store)) == 5
    assert log.omitted == 4
