"""ClusterMembership on one database: who is there, who adopts whom."""

import asyncio
from datetime import datetime, timedelta

import pytest

from cloud.errors import Unavailable
from cloud.jobs.cluster_membership import BEAT, GONE_AFTER, ClusterMembership
from cloud.store.transaction import Store
from tests.link.conftest import NOW


class AdoptingHub:
    """Notes who is adopted; `let_end` ends that, with a result."""

    def __init__(self) -> None:
        self.adopted: list[str] = []
        self.endings: list[asyncio.Future[bool]] = []

    async def adopt(self, client_id: str) -> bool:
        self.adopted.append(client_id)
        ending: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.endings.append(ending)
        return await ending


class ClusterWorld:
    """Time that goes on when a server pauses, one pause after the other."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOW
        self.hub = AdoptingHub()
        self.paused = asyncio.Event()
        self.go = asyncio.Event()

    def clock(self) -> datetime:
        return self.now

    async def pause(self, _seconds: float) -> None:
        self.paused.set()
        await self.go.wait()
        self.go.clear()

    async def beat(self, after: timedelta = BEAT) -> None:
        """Let the server go on once, *after* a time."""
        await self.paused.wait()
        self.paused.clear()
        self.now += after
        self.go.set()
        await self.paused.wait()

    async def seen(self, server_id: str, now: datetime) -> None:
        await self.store.write(lambda tx: tx.record_server(server_id, now, "1"))

    async def gone(self) -> str | None:
        """Who would be adopted now."""
        return await self.store.write(lambda tx: tx.claim_server(self.now - GONE_AFTER, self.now))


@pytest.fixture
def world(store: Store) -> ClusterWorld:
    return ClusterWorld(store)


def servers(world: ClusterWorld) -> ClusterMembership:
    return ClusterMembership(
        "one", world.hub, world.store, world.clock, version="1", pause=world.pause
    )


async def test_a_server_that_is_silent_is_adopted_once_and_then_forgotten(
    world: ClusterWorld,
) -> None:
    await world.seen("two", NOW)
    task = asyncio.get_running_loop().create_task(servers(world).run())
    await world.beat(GONE_AFTER)
    assert world.hub.adopted == []
    await world.beat()
    await world.beat()
    assert world.hub.adopted == ["two"]
    for _ in range(8):  # it takes longer than a server may be silent
        await world.beat()
    assert await world.gone() is None
    world.hub.endings[0].set_result(True)
    for _ in range(3):  # the writer is asked to forget between two of them
        await world.beat()
    await world.beat(2 * GONE_AFTER)
    assert world.hub.adopted == ["two"]
    task.cancel()
    await asyncio.wait([task])


async def test_a_server_that_came_back_is_not_forgotten(world: ClusterWorld) -> None:
    await world.seen("two", NOW)
    task = asyncio.get_running_loop().create_task(servers(world).run())
    await world.beat(2 * GONE_AFTER)
    await world.beat()
    assert world.hub.adopted == ["two"]
    world.hub.endings[0].set_result(False)
    await world.beat()
    await world.beat(2 * GONE_AFTER)
    await world.beat()
    assert world.hub.adopted == ["two", "two"]
    task.cancel()
    await asyncio.wait([task])


async def test_no_two_servers_claim_the_same_one(store: Store) -> None:
    for name in ("a", "b", "c"):
        await store.write(lambda tx, name=name: tx.record_server(name, NOW, "1"))  # type: ignore[misc]
    later = NOW + 2 * GONE_AFTER
    claimed = [
        await store.write(lambda tx: tx.claim_server(later - GONE_AFTER, later)) for _ in range(4)
    ]
    assert claimed == ["a", "b", "c", None]
    await store.write(lambda tx: tx.forget_server("a"))
    even_later = later + 2 * GONE_AFTER
    assert await store.write(lambda tx: tx.claim_server(even_later, even_later)) == "b"


async def test_a_database_that_is_away_ends_nothing(world: ClusterWorld) -> None:
    class Away:
        def __init__(self) -> None:
            self.read = self.write = self.write_concurrent = self._fail

        async def _fail(self, _work: object) -> None:
            raise Unavailable("it is away")

    one = ClusterMembership("one", world.hub, Away(), world.clock, version="1", pause=world.pause)  # type: ignore[arg-type]
    task = asyncio.get_running_loop().create_task(one.run())
    await world.beat()
    await world.beat()
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
