"""What every store promises of trends."""

import asyncio
from datetime import datetime, timedelta

from cloud.core.deploys import DeployStatus
from cloud.core.trends import HOURS, MINUTES, NAMESPACES_KEPT, TrendSeries
from cloud.operations.trends import record_trends, trends
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import node, report

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
START = datetime.fromisoformat("2026-01-02T03:00:00Z")
AGES = {MINUTES: MINUTES.age, HOURS: HOURS.age}

Shown = tuple[datetime, int, int, int, float]


async def points(
    store: Store, now: datetime, series: TrendSeries = MINUTES, namespace: str = "default"
) -> list[Shown]:
    age = AGES[series]
    found = await store.read(lambda tx: trends(tx, namespace, age, now=now))
    return [
        (one.time, one.nodes, one.online, one.converged, one.reports_per_second) for one in found
    ]


async def record(store: Store, now: datetime, **reports: int) -> None:
    await store.write(lambda tx: record_trends(tx, reports, now=now))


def three_nodes(tx: Transaction) -> None:
    for name in "abc":
        tx.put_node(node(name))
    tx.put_report("default", "a", report(), "json", START)
    tx.set_deploy_status("default", "a", DeployStatus.CONVERGED)
    tx.put_node(node("z", "other"))


async def test_a_minute_is_counted_once_by_all_servers(store: Store) -> None:
    await store.write(three_nodes)
    later = START + timedelta(seconds=9)
    # Two servers, one of them a few seconds late: its own reports are added.
    await asyncio.gather(
        record(store, START, default=90, other=6), record(store, later, default=30, gone=5)
    )
    assert await points(store, later) == [(START, 3, 1, 1, 2.0)]
    assert await points(store, later, namespace="other") == [(START, 1, 0, 0, 0.1)]
    assert await points(store, later, namespace="gone") == []
    # By then the node is offline.
    after = START + 5 * MINUTE
    await record(store, after)
    assert await points(store, after) == [(START, 3, 1, 1, 2.0), (after, 3, 0, 1, 0.0)]


async def test_an_hour_has_the_means_of_its_minutes(store: Store) -> None:
    await store.write(three_nodes)
    await record(store, START, default=60)
    await record(store, START + MINUTE, default=120)
    await record(store, START + 2 * MINUTE, default=0)
    assert await points(store, START + HOUR, HOURS) == [(START, 3, 0, 1, 1.0)]
    await record(store, START + HOUR, default=600)
    assert await points(store, START + HOUR, HOURS) == [
        (START, 3, 0, 1, 1.0),
        (START + HOUR, 3, 0, 1, 10.0),
    ]


async def test_points_are_kept_for_as_long_as_their_series(store: Store) -> None:
    await store.write(three_nodes)
    await record(store, START)
    for age, minutes, hours in [
        (timedelta(hours=23), 2, 2),
        (timedelta(days=3), 1, 3),
        (timedelta(days=32), 1, 2),
    ]:
        await record(store, START + age)
        assert len(await points(store, START + age)) == minutes
        assert len(await points(store, START + age, HOURS)) <= hours
    count = await store.read(
        lambda tx: sum(
            len(tx.trend_points("default", series, datetime.fromisoformat("2000-01-01T00:00:00Z")))
            for series in (MINUTES, HOURS)
        )
    )
    assert count == 3


async def test_the_largest_namespaces_have_trends(store: Store) -> None:
    def put(tx: Transaction) -> None:
        three_nodes(tx)
        for number in range(NAMESPACES_KEPT):
            tx.put_node(node("n", f"ns{number:03}"))

    await store.write(put)
    await record(store, START)
    assert len(await points(store, START)) == 1
    assert len(await points(store, START, namespace=f"ns{NAMESPACES_KEPT - 2:03}")) == 1
    assert await points(store, START, namespace="other") == []
