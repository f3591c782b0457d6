"""What every store promises of callbacks and their pending deliveries."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cloud.core.callback import Callback, CallbackSpec, CallbackStatus
from cloud.core.listing import PageOptions
from cloud.core.sending import Delivery
from cloud.errors import NotFound
from cloud.store.transaction import Store, Transaction
from tests.conftest import StoreFactory
from tests.store.conftest import LATER, NOW

SPEC = CallbackSpec(url="https://example.com", secret="open sesame", header={"A": "hidden"})
SOON = NOW + timedelta(microseconds=1)


def callback(name: str = "c", namespace: str = "default") -> Callback:
    return Callback(namespace, name, SPEC, NOW, NOW)


def delivery(own_id: str = "d", name: str = "c", namespace: str = "default") -> Delivery:
    return Delivery(own_id, namespace, name, '{"a":"b"}', NOW, NOW)


def put(*things: Callback | Delivery) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        for thing in things:
            if isinstance(thing, Callback):
                tx.put_callback(thing)
            else:
                tx.put_delivery(thing)

    return work


def bytes_in(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.glob("edgesync.db*"))


async def test_a_callback_is_got_as_it_was_put(store: Store) -> None:
    await store.write(put(callback()))
    assert await store.read(lambda tx: tx.callback("default", "c")) == callback()
    assert await store.read(lambda tx: tx.callback("other", "c")) is None
    changed = replace(callback(), spec=CallbackSpec(url="http://x"), updated=LATER)
    await store.write(put(changed))
    assert await store.read(lambda tx: tx.callback("default", "c")) == changed
    assert await store.write(lambda tx: tx.delete_callback("default", "c"))
    assert not await store.write(lambda tx: tx.delete_callback("default", "c"))


async def test_callbacks_are_listed_newest_first_by_part_of_their_name(store: Store) -> None:
    older = replace(callback("crm"), created=NOW - timedelta(1))
    await store.write(put(older, callback("crm-2"), callback("erp"), callback("crm", "other")))
    page = await store.read(lambda tx: tx.list_callbacks("default", PageOptions(name="crm")))
    assert ([one.name for one in page.items], page.total) == (["crm-2", "crm"], 2)


async def test_nothing_of_a_callback_can_be_read_in_the_file(
    open_again: StoreFactory, tmp_path: Path
) -> None:
    async with open_again(tmp_path) as store:
        await store.write(put(callback()))
    kept = bytes_in(tmp_path)
    for secret in (b"open sesame", b"hidden", b"example.com"):
        assert secret not in kept


async def test_how_a_callback_did_stays_when_it_is_put_again(store: Store) -> None:
    def work(tx: Transaction) -> None:
        put(callback(), delivery("d1"), delivery("d2"), replace(delivery("d3"), due=None))(tx)
        tx.record_success("default", "c", NOW)
        tx.record_error("default", "c", "answered 500", LATER)
        tx.put_callback(callback())

    await store.write(work)
    outcome = await store.read(lambda tx: tx.callback_outcome("default", "c"))
    assert outcome == CallbackStatus(NOW, "answered 500", LATER, pending=2, given_up=1)
    assert await store.read(lambda tx: tx.callback_outcome("default", "x")) == CallbackStatus()


async def test_what_is_due_is_found_longest_first_and_by_callback(store: Store) -> None:
    due_soon = replace(delivery("b"), due=SOON)
    due_later = replace(delivery("c"), due=LATER)
    dead = replace(delivery("d"), due=None)
    other = replace(delivery("e", "c2"), due=NOW, content_type="text/plain", attempts=3, error="x")
    await store.write(
        put(callback(), callback("c2"), due_later, due_soon, delivery("a"), dead, other)
    )

    def look(tx: Transaction) -> None:
        assert sorted(tx.due_receivers(NOW)) == [("default", "c"), ("default", "c2")]
        assert tx.due_receivers(NOW - timedelta(1)) == []
        assert tx.next_due(NOW) == SOON
        assert tx.next_due(SOON) == LATER
        assert tx.next_due(LATER) is None
        assert tx.given_up("default", "c", 9) == [dead]

    await store.read(look)
    assert await claimed(store, "c2", NOW) == ["e"]
    assert await claimed(store, "c", NOW) == ["a"]
    assert await claimed(store, "c", SOON, 2) == ["b"]
    assert await store.write(lambda tx: tx.delete_delivery("a"))
    assert not await store.write(lambda tx: tx.delete_delivery("a"))


async def claimed(store: Store, name: str, now: datetime, limit: int = 9) -> list[str]:
    until = now + timedelta(seconds=20)
    found = await store.write_concurrent(
        lambda tx: tx.claim_deliveries("default", name, now=now, until=until, limit=limit)
    )
    assert all(one.due == until for one in found)
    return [one.id for one in found]


async def test_what_is_claimed_is_due_again_after_a_while(store: Store) -> None:
    await store.write(put(callback(), delivery("a"), delivery("b"), delivery("c")))
    halves = await asyncio.gather(claimed(store, "c", NOW, 2), claimed(store, "c", NOW, 2))
    assert sorted(one for half in halves for one in half) == ["a", "b", "c"]
    assert await claimed(store, "c", NOW) == []
    assert await claimed(store, "c", NOW + timedelta(seconds=20)) == ["a", "b", "c"]


async def test_what_was_given_up_is_tried_again_or_forgotten(store: Store) -> None:
    dead = [replace(delivery(f"d{n}"), due=None, created=NOW + timedelta(n)) for n in range(3)]
    await store.write(put(callback(), *dead))
    assert await store.write(lambda tx: tx.forget_given_up(NOW + timedelta(1))) == 1
    assert await store.read(lambda tx: tx.given_up("default", "c", 1)) == [dead[2]]
    assert await store.write(lambda tx: tx.retry_given_up("default", "c", LATER)) == 2
    again = await store.read(lambda tx: tx.newest_deliveries("default", "c", 9))
    assert [(one.id, one.created, one.due) for one in again] == [
        ("d2", LATER, LATER),
        ("d1", LATER, LATER),
    ]
    assert await store.write(lambda tx: tx.forget_given_up(LATER + timedelta(9))) == 0


async def test_pending_deliveries_are_deleted_with_their_callback(store: Store) -> None:
    await store.write(put(callback(), callback("c", "other"), delivery()))
    await store.write(put(delivery("d2", "c", "other")))
    await store.write(lambda tx: tx.delete_callback("default", "c"))
    assert await store.read(lambda tx: tx.due_receivers(NOW)) == [("other", "c")]
    with pytest.raises(NotFound):
        await store.write(put(delivery()))
