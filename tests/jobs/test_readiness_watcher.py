"""A silent node is reported lost once, unless the server itself could not receive."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from cloud.core.certificate import NodeCertificate
from cloud.core.event import EventFilter
from cloud.core.report import Order, read_report
from cloud.jobs.readiness_watcher import ENDS_EVERY, ReadinessWatcher
from cloud.operations.events import ENDING_WITHIN
from cloud.operations.reports import receive_report
from cloud.store.transaction import Store, Transaction
from tests.conftest import StoreFactory, open_on
from tests.postgres import NEEDS_POSTGRES, Postgres
from tests.store.conftest import NOW, node


@dataclass
class WatchedFleet:
    """Nodes that report every 20 seconds as long as a test wants, on a clock of its own."""

    store: Store
    now: datetime = NOW
    can_receive: bool = True
    reports: int = 0
    watcher: ReadinessWatcher = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the server, again."""
        self.watcher = ReadinessWatcher(self.store, lambda: self.now, lambda: self.can_receive)

    async def report(self, *names: str) -> None:
        self.reports += 1
        order = Order("run", self.reports)

        def work(tx: Transaction) -> None:
            for name in names:
                if tx.node("default", name) is None:
                    tx.put_node(node(name))
                content = read_report({"apps": []}, order)
                receive_report(tx, f"default.{name}", content, "json", now=self.now)

        await self.store.write(work)

    async def wait(self, seconds: float, *reporting: str) -> None:
        """Let time pass in which these nodes report, and it is looked."""
        for _ in range(round(seconds / 5)):
            self.now += timedelta(seconds=5)
            if reporting and self.now.second % 20 == 5:
                await self.report(*reporting)
            await self.watcher.check()

    async def recorded_events(self) -> list[str]:
        """The events that were recorded, oldest first, as type and name."""

        def work(tx: Transaction) -> list[str]:
            tx.number_events(10_000)
            events = tx.next_events(EventFilter("*"), above=0, limit=10_000)
            return [f"{one.event.type} {one.event.name}" for one in events]

        return await self.store.write(work)


@pytest.fixture
async def fleet(open_again: StoreFactory, tmp_path: Path) -> AsyncIterator[WatchedFleet]:
    async with open_again(tmp_path) as store:
        yield WatchedFleet(store)


async def test_a_node_that_falls_silent_is_lost_once_and_back_with_its_next_report(
    fleet: WatchedFleet,
) -> None:
    await fleet.report("a", "b")
    await fleet.wait(120, "a", "b")
    assert await fleet.recorded_events() == ["node.ready a", "node.ready b"]
    await fleet.wait(55, "a")
    assert len(await fleet.recorded_events()) == 2
    await fleet.wait(60, "a")
    assert (await fleet.recorded_events())[2:] == ["node.lost b"]
    await fleet.wait(300, "a")
    await fleet.report("b")
    assert (await fleet.recorded_events())[2:] == ["node.lost b", "node.ready b"]


async def test_after_a_start_nodes_have_their_time_to_come_back(fleet: WatchedFleet) -> None:
    await fleet.report("back", "gone")
    fleet.now += timedelta(hours=1)
    fleet.start()
    await fleet.watcher.check()
    await fleet.wait(55)
    await fleet.report("back")
    assert (await fleet.recorded_events())[2:] == []
    await fleet.wait(30, "back")
    assert (await fleet.recorded_events())[2:] == ["node.lost gone"]


@pytest.mark.parametrize("reason", ["deaf", "asleep"])
async def test_who_cannot_be_heard_is_not_lost(fleet: WatchedFleet, reason: str) -> None:
    await fleet.report("a")
    await fleet.watcher.check()
    if reason == "deaf":
        fleet.can_receive = False
        await fleet.wait(600)
        fleet.can_receive = True
    else:
        fleet.now += timedelta(seconds=600)
    await fleet.watcher.check()
    await fleet.wait(55)
    assert await fleet.recorded_events() == ["node.ready a"]
    await fleet.wait(10)
    assert await fleet.recorded_events() == ["node.ready a", "node.lost a"]


class TestManyServers:
    pytestmark: ClassVar = NEEDS_POSTGRES

    async def test_one_tells(self, postgres: Postgres, tmp_path: Path) -> None:
        names = [f"n{number:02}" for number in range(40)]
        open_there = open_on(postgres)
        async with open_there(tmp_path) as one, open_there(tmp_path) as two:
            fleets = [WatchedFleet(one), WatchedFleet(two)]
            await fleets[0].report(*names)
            for _ in range(20):
                for fleet in fleets:
                    fleet.now += timedelta(seconds=5)
                await asyncio.gather(*(fleet.watcher.check() for fleet in fleets))
            recorded = await fleets[1].recorded_events()
        assert sorted(recorded[40:]) == [f"node.lost {name}" for name in names]


async def test_the_expiry_of_a_certificate_is_reported_once(fleet: WatchedFleet) -> None:
    end = NOW + ENDING_WITHIN + 2 * ENDS_EVERY
    await fleet.store.write(lambda tx: tx.put_node(node("a")))
    certificate = NodeCertificate(7, "default.a", NOW, end)
    await fleet.store.write(lambda tx: tx.put_certificate(certificate))
    for hours in range(5):
        await fleet.watcher.check()
        fleet.now += ENDS_EVERY
        assert len(await fleet.recorded_events()) == (1 if hours >= 2 else 0)
    assert await fleet.recorded_events() == ["certificate.ending a"]
