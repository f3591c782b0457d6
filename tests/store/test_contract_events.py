"""What every store promises of events, of who is ready, and of certificates that end."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from cloud.core.audit import Actor
from cloud.core.certificate import NodeCertificate
from cloud.core.event import Event, EventFilter, EventRange, EventTypes, NumberedEvent, event_types
from cloud.core.expiry import CertificateEnd
from cloud.core.node import NodeSpec
from cloud.core.readiness import ReportCadence
from cloud.errors import NotFound
from cloud.store.transaction import Store, Transaction
from tests.conftest import StoreFactory
from tests.store.conftest import NOW, WAIT, node, report

EVERYTHING = EventFilter("*")
MINUTE = timedelta(minutes=1)


def event(name: str = "n", namespace: str = "default", **changes: object) -> Event:
    known = {"type": "node.ready", "kind": "node", "time": NOW, "message": "a message", **changes}
    return Event(namespace=namespace, name=name, **known)  # type: ignore[arg-type]


async def put_noted(store: Store, one: Event) -> None:
    await store.write_concurrent(lambda tx: tx.record_event(one))


async def put(store: Store, *events: Event) -> None:
    def work(tx: Transaction) -> None:
        for one in events:
            tx.record_event(one)
        tx.number_events(1000)

    await store.write(work)


async def test_an_event_is_shown_as_it_was_noted_once_it_has_a_number(store: Store) -> None:
    recorded = event(
        message="Zwölf\0",
        data={"a": ["b", 1], "c": None},
        actor=Actor("token", "ci", "default"),
        kind="app",
    )
    await store.write_concurrent(lambda tx: tx.record_event(recorded))
    assert await store.read(lambda tx: tx.has_new_events())
    assert await store.read(lambda tx: tx.newest_events(EVERYTHING, limit=9)) == []
    assert await store.read(lambda tx: tx.event_range()) == EventRange()
    (numbered,) = await store.write(lambda tx: tx.number_events(9))
    assert (numbered.number, numbered.event) == (1, recorded)
    assert await store.read(lambda tx: tx.newest_events(EVERYTHING, limit=9)) == [numbered]
    assert await store.read(lambda tx: tx.event_range()) == EventRange(0, 1)
    assert not await store.read(lambda tx: tx.has_new_events())
    assert await store.write(lambda tx: tx.number_events(9)) == ()


async def test_events_get_numbers_in_the_order_they_were_noted(store: Store) -> None:
    for name in "zyx":
        await put_noted(store, event(name))
    some = await store.write(lambda tx: tx.number_events(2))
    rest = await store.write(lambda tx: tx.number_events(2))
    found = [(one.number, one.event.name) for one in (*some, *rest)]
    assert found == [(1, "z"), (2, "y"), (3, "x")]
    newest = await store.read(lambda tx: tx.newest_events(EVERYTHING, below=3, limit=9))
    assert [one.number for one in newest] == [2, 1]
    following = await store.read(lambda tx: tx.next_events(EVERYTHING, above=1, limit=1))
    assert [one.number for one in following] == [2]


async def test_an_event_that_was_rolled_back_did_not_happen(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.record_event(event())
        raise NotFound("node", "n")

    with pytest.raises(NotFound):
        await store.write(work)
    assert not await store.read(lambda tx: tx.has_new_events())


def look(
    wanted: EventFilter, tx: Transaction
) -> tuple[Sequence[NumberedEvent], Sequence[NumberedEvent], int]:
    found = tx.next_events(wanted, above=0, limit=9)
    return found, tx.newest_events(wanted, limit=9), tx.count_events(wanted)


async def test_events_are_found_by_what_they_are_about(store: Store) -> None:
    events = [
        event("a"),
        event("a", type="node.lost", time=NOW + MINUTE),
        event("a", type="app.created", kind="app"),
        event("b", "other", type="app.updated", kind="app"),
        event("b", type="certificate.ending"),
    ]
    await put(store, *events)
    for wanted in (
        EVERYTHING,
        EventFilter("default"),
        EventFilter("none"),
        EventFilter("default", event_types("type", ["node.*"])),
        EventFilter("*", event_types("type", ["app.*", "node.lost"])),
        EventFilter("*", EventTypes(frozenset({"app.updated"}))),
        EventFilter("*", kind="node", name="b"),
        EventFilter("default", name="a", since=NOW + MINUTE),
    ):
        expected = [one for one in events if wanted.admits(one)]
        found, newest, count = await store.read(partial(look, wanted))
        assert [one.event for one in found] == expected, wanted
        assert list(reversed(newest)) == list(found)
        assert count == len(expected)


async def test_numbers_go_on_after_all_events_were_forgotten(store: Store) -> None:
    await put(store, event("a"), event("b", time=NOW + MINUTE))
    assert await store.read(lambda tx: tx.first_event_since(NOW + MINUTE)) == 2
    await store.write(lambda tx: tx.prune_events(2))
    assert await store.read(lambda tx: tx.event_range()) == EventRange(2, 2)
    assert await store.read(lambda tx: tx.first_event_since(NOW)) == 3
    assert await store.read(lambda tx: tx.count_events(EVERYTHING)) == 0
    await put(store, event("c"))
    (left,) = await store.read(lambda tx: tx.newest_events(EVERYTHING, limit=9))
    assert left.number == 3


async def test_a_waiting_reader_is_woken_by_events_alone(
    open_again: StoreFactory, tmp_path: Path
) -> None:
    async with open_again(tmp_path) as store, asyncio.timeout(WAIT), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(store.wait_for_events())
        await store.write(lambda tx: tx.put_node(node()))
        assert not waiting.done()
        await store.write_concurrent(lambda tx: tx.record_event(event()))
        await waiting


async def test_a_node_has_one_ready_event(store: Store) -> None:
    await store.write(lambda tx: tx.put_node(node()))
    await store.write(lambda tx: tx.put_report("default", "n", report(), "json", NOW))
    reporter = await store.read(lambda tx: tx.reporter("default", "n"))
    assert reporter is not None
    assert not reporter.is_ready
    assert await store.write_concurrent(lambda tx: tx.record_ready("default", "n", NOW))
    assert not await store.write_concurrent(lambda tx: tx.record_ready("default", "n", NOW))
    reporter = await store.read(lambda tx: tx.reporter("default", "n"))
    assert reporter is not None
    assert reporter.is_ready
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.record_ready("default", "x", NOW))
    await store.write(lambda tx: tx.delete_node("default", "n"))
    assert not await store.read(lambda tx: tx.has_due_checks(NOW))


@pytest.mark.parametrize(
    ("heard", "stats", "listening", "due"),
    [
        (NOW, None, NOW - MINUTE, NOW),
        (NOW, NOW + MINUTE, NOW - MINUTE, NOW + MINUTE),
        (NOW, NOW + MINUTE, NOW + 2 * MINUTE, NOW + 2 * MINUTE),
        (NOW, None, NOW + 2 * MINUTE, NOW + 2 * MINUTE),
    ],
)
async def test_a_node_is_lost_after_three_intervals_from_when_it_could_be_heard(
    store: Store, heard: datetime, stats: datetime | None, listening: datetime, due: datetime
) -> None:
    cadence = ReportCadence(timedelta(seconds=10))
    look = NOW + timedelta(seconds=30)

    def prepare(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_report("default", "n", report(), "json", heard, cadence)
        tx.record_ready("default", "n", look)
        if stats is not None:
            tx.put_usage("default", "n", b"{}", stats)

    await store.write(prepare)
    lost = due + timedelta(seconds=30)
    before = lost - timedelta(microseconds=1)
    assert await store.read(lambda tx: tx.has_due_checks(lost))

    def looked(tx: Transaction, now: datetime) -> list[tuple[str, str]]:
        tx.postpone_checks(now, listening)
        return list(tx.take_lost(now, 9))

    assert await store.write(lambda tx: looked(tx, before)) == []
    assert await store.write(lambda tx: looked(tx, lost)) == [("default", "n")]
    assert await store.write(lambda tx: looked(tx, lost + MINUTE)) == []


async def test_an_end_is_taken_once_for_each_certificate(store: Store) -> None:
    day = timedelta(days=1)
    first = NodeCertificate(7, "default.n", NOW, NOW + 5 * day)

    def take(tx: Transaction) -> list[CertificateEnd]:
        return list(tx.take_ends(NOW, NOW + 14 * day, 9))

    await store.write(lambda tx: tx.put_node(node()))
    await store.write(lambda tx: tx.put_certificate(first))
    end = CertificateEnd("default", "n", 7, NOW + 5 * day)
    assert await store.write(take) == [end]
    assert await store.write(take) == []
    later = replace(first, serial=8, expires=NOW + 90 * day)
    await store.write(lambda tx: tx.put_certificate(later))
    assert await store.write(take) == []
    soon = replace(first, serial=9, expires=NOW + 6 * day)
    await store.write(lambda tx: tx.revoke_certificates("default.n", NOW))
    await store.write(lambda tx: tx.put_certificate(soon))
    assert [one.serial for one in await store.write(take)] == [9]


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ("shop=7", {"a"}),
        ("shop in (7, 8)", {"a", "b"}),
        ("shop,shop!=8", {"a"}),
        ("!shop", {"c"}),
        ("shop>7", {"b"}),
        ("shop=9", set()),
    ],
)
async def test_events_are_selected_by_the_labels_of_their_nodes(
    store: Store, nodes: str, names: set[str]
) -> None:
    def make(tx: Transaction) -> None:
        shops: dict[str, dict[str, str]] = {"a": {"shop": "7"}, "b": {"shop": "8"}, "c": {}}
        for name, labels in shops.items():
            tx.put_node(replace(node(name), spec=NodeSpec(labels)))
            tx.put_node(replace(node(name, "other"), spec=NodeSpec({"shop": "9"})))
        tx.mark_pending([node("a"), node("b")])

    await store.write(make)
    shown = [event(name, time=NOW + MINUTE) for name in ("a", "b", "c")]
    # Of no node that is there, of a thing of another kind, and of another namespace.
    others = [event("gone"), event("a", kind="app"), event("b", namespace="other")]
    await put(store, *shown, *others)
    wanted = EventFilter("default", kind="node", since=NOW, nodes=nodes)
    for found in (
        await store.read(lambda tx: tx.newest_events(wanted, limit=9)),
        await store.read(lambda tx: tx.next_events(wanted, above=0, limit=9)),
    ):
        assert {one.event.name for one in found} == names
        assert {one.event.namespace for one in found} <= {"default"}
    assert await store.read(lambda tx: tx.count_events(wanted)) == len(names)
    waiting = await store.read(lambda tx: tx.count_waiting_among("default", nodes, NOW))
    assert waiting == len(names & {"a", "b"})
