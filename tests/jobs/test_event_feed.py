"""Who follows events misses none, however many servers note and number them."""

import asyncio
from pathlib import Path

from cloud.core.event import Event, EventFilter
from cloud.jobs.event_feed import EventFeed
from cloud.operations.events import follow_events
from cloud.store.transaction import NotifyingStore, Store
from tests.conftest import open_on
from tests.postgres import NEEDS_POSTGRES, Postgres
from tests.store.conftest import NOW, WAIT

pytestmark = NEEDS_POSTGRES

WRITERS, EACH = 8, 30


async def note(store: Store, writer: int) -> None:
    for number in range(EACH):
        event = Event("node.ready", "default", "node", f"n{writer}-{number}", NOW, "")
        await store.write_concurrent(lambda tx, event=event: tx.record_event(event))  # type: ignore[misc]


async def follow(store: Store, feed: EventFeed) -> list[tuple[int, str]]:
    """What is seen in the database by who asks for what came after the last it saw."""
    seen: list[tuple[int, str]] = []
    while len(seen) < WRITERS * EACH:
        number = seen[-1][0] if seen else 0
        followed = await store.read(
            lambda tx, number=number: follow_events(tx, EventFilter("*"), number, limit=9)  # type: ignore[misc]
        )
        seen += [(one.number, one.event.name) for one in followed.events]
        if not followed.events:
            await feed.wait(followed.number)
    return seen


async def test_who_follows_events_misses_none_on_any_server(
    postgres: Postgres, tmp_path: Path
) -> None:
    open_there = open_on(postgres)
    async with open_there(tmp_path) as one, open_there(tmp_path) as two:
        stores: list[NotifyingStore] = [one, two]
        feeds = [EventFeed(store, lambda: NOW, wake_callbacks=lambda: None) for store in stores]
        async with asyncio.timeout(WAIT), asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(feed.run()) for feed in feeds]
            following = [
                tasks.create_task(follow(store, feed))
                for store, feed in zip(stores, feeds, strict=True)
            ]
            for writer in range(WRITERS):
                tasks.create_task(note(stores[writer % 2], writer))
            seen = [await task for task in following]
            for task in running:
                task.cancel()
    assert seen[0] == seen[1]
    assert [number for number, _ in seen[0]] == list(range(1, WRITERS * EACH + 1))
    for writer in range(WRITERS):
        own = [name for _, name in seen[0] if name.startswith(f"n{writer}-")]
        assert own == [f"n{writer}-{number}" for number in range(EACH)]


async def test_other_servers_hear_of_it_at_once(postgres: Postgres, tmp_path: Path) -> None:
    open_there = open_on(postgres)
    event = Event("node.ready", "default", "node", "n", NOW, "")
    async with open_there(tmp_path) as one, open_there(tmp_path) as two:
        await one.write_concurrent(lambda tx: tx.record_event(event))
        await one.write(lambda tx: tx.number_events(9))
        async with asyncio.timeout(WAIT):
            await two.wait_for_events()


async def test_what_a_server_left_without_numbers_gets_them_from_the_next(tmp_path: Path) -> None:
    from tests.builders import open_store

    event = Event("node.ready", "default", "node", "n", NOW, "")
    async with open_store(tmp_path) as store:
        await store.write_concurrent(lambda tx: tx.record_event(event))
    async with open_store(tmp_path) as store:
        feed = EventFeed(store, lambda: NOW, wake_callbacks=lambda: None)
        async with asyncio.timeout(WAIT), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(feed.run())
            await feed.wait(0)
            running.cancel()
        found = await store.read(lambda tx: tx.next_events(EventFilter("*"), above=0, limit=9))
    assert [one.event for one in found] == [event]
