"""What every store knows of when nodes were heard; what follows from it is `core.readiness`."""

from collections.abc import Callable
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.core.callback import Callback, CallbackSpec
from cloud.core.readiness import (
    OFFLINE_AFTER_INTERVALS,
    STALE_AFTER_INTERVALS,
    Heard,
    NodeState,
    ReportCadence,
    node_status,
)
from cloud.core.sending import Delivery
from cloud.store.parts.pending_nodes import PendingCounts
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import NOW, node, report

DEFAULT = timedelta(seconds=20)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)

some_examples = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
moments = st.integers(0, 2 * 10**11).map(lambda micros: NOW + timedelta(microseconds=micros))
intervals = st.integers(10**7, 86_400 * 10**6).map(lambda micros: timedelta(microseconds=micros))
cadences = st.builds(ReportCadence, intervals, intervals, st.none() | moments)


@some_examples
@given(heard=st.builds(Heard, moments, st.none(), cadences))
async def test_the_pace_of_a_node_is_got_as_it_was_put(store: Store, heard: Heard) -> None:
    def put(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_report("default", "n", report(), "json", heard.report, heard.cadence)

    await store.write(put)
    assert await store.read(lambda tx: tx.heard("default", "n")) == heard
    reporter = await store.read(lambda tx: tx.reporter("default", "n"))
    assert reporter is not None
    assert reporter.heard == heard


@some_examples
@given(
    nodes=st.lists(st.none() | st.tuples(moments, cadences, st.none() | moments), max_size=8),
    now=moments,
)
async def test_nodes_are_counted_by_the_state_they_are_in(
    store: Store, nodes: list[tuple[datetime, ReportCadence, datetime | None] | None], now: datetime
) -> None:
    def put(tx: Transaction) -> list[Heard | None]:
        for old in tx.nodes("default"):
            tx.delete_node("default", old.name)
        for number, heard in enumerate(nodes):
            name = f"n{number}"
            tx.put_node(node(name))
            if heard is not None:
                moment, cadence, stats = heard
                tx.put_report("default", name, report(), "json", moment, cadence)
                if stats is not None:
                    tx.put_usage("default", name, b"{}", stats)
        return [tx.heard("default", f"n{number}") for number in range(len(nodes))]

    each = [node_status(heard, now).state for heard in await store.write(put)]
    counts = await store.read(lambda tx: tx.count_states(now))
    assert counts == {state: each.count(state) for state in NodeState}


async def test_the_reported_interval_is_stored_with_the_report(store: Store) -> None:
    cadences = [
        ReportCadence(DEFAULT, since=NOW, reported=DEFAULT),
        ReportCadence(DEFAULT, since=NOW),
    ]

    def put(cadence: ReportCadence) -> Callable[[Transaction], None]:
        return lambda tx: tx.put_report("default", "n", report(), "json", NOW, cadence)

    await store.write(lambda tx: tx.put_node(node()))
    for cadence in cadences:
        await store.write(put(cadence))
        assert await store.read(lambda tx: tx.heard("default", "n")) == Heard(NOW, None, cadence)
        reporter = await store.read(lambda tx: tx.reporter("default", "n"))
        assert reporter is not None
        assert reporter.heard == Heard(NOW, None, cadence)


async def test_stats_mark_when_a_missed_node_is_back(store: Store) -> None:
    since = NOW - DAY

    def put(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_report("default", "n", report(), "json", NOW, ReportCadence(DEFAULT, since=since))

    async def stats_at(moment: datetime) -> Heard | None:
        await store.write(lambda tx: tx.put_usage("default", "n", b"{}", moment))
        return await store.read(lambda tx: tx.heard("default", "n"))

    await store.write(put)
    in_time = NOW + STALE_AFTER_INTERVALS * DEFAULT - MICROSECOND
    assert await stats_at(in_time) == Heard(NOW, in_time, ReportCadence(DEFAULT, since=since))
    again = in_time + STALE_AFTER_INTERVALS * DEFAULT - MICROSECOND
    assert await stats_at(again) == Heard(NOW, again, ReportCadence(DEFAULT, since=since))
    missed = again + STALE_AFTER_INTERVALS * DEFAULT
    assert await stats_at(missed) == Heard(NOW, missed, ReportCadence(DEFAULT, since=missed))
    gone = missed + OFFLINE_AFTER_INTERVALS * DEFAULT
    assert await stats_at(gone) == Heard(NOW, gone, ReportCadence(DEFAULT, since=gone))


async def test_what_servers_have_yet_to_do_is_counted(store: Store) -> None:
    assert await store.read(lambda tx: tx.count_waiting()) == PendingCounts(0, 0)

    def put(tx: Transaction) -> None:
        for name in ("n", "m"):
            tx.put_node(node(name))
        tx.mark_pending([node("n"), node("m"), node("n")])
        tx.put_callback(Callback("default", "c", CallbackSpec(url="https://x.example"), NOW, NOW))
        tx.put_delivery(Delivery("due", "default", "c", "{}", NOW, NOW + DAY))
        tx.put_delivery(Delivery("given up", "default", "c", "{}", NOW, None))

    await store.write(put)
    assert await store.read(lambda tx: tx.count_waiting()) == PendingCounts(2, 1)
    await store.write(lambda tx: tx.take_pending(1))
    assert await store.read(lambda tx: tx.count_waiting()) == PendingCounts(1, 1)


async def test_nodes_are_counted_by_the_later_of_report_and_stats(store: Store) -> None:
    def put(tx: Transaction) -> None:
        for name, stats in (
            ("n", NOW + OFFLINE_AFTER_INTERVALS * DEFAULT),
            ("m", NOW - DAY),
            ("o", None),
        ):
            tx.put_node(node(name))
            tx.put_report("default", name, report(), "json", NOW, ReportCadence(DEFAULT))
            if stats is not None:
                tx.put_usage("default", name, b"{}", stats)

    await store.write(put)
    counts = await store.read(
        lambda tx: tx.count_states(NOW + OFFLINE_AFTER_INTERVALS * DEFAULT - MICROSECOND)
    )
    assert counts == {
        NodeState.ONLINE: 1,
        NodeState.STALE: 2,
        NodeState.OFFLINE: 0,
        NodeState.NEVER: 0,
    }
