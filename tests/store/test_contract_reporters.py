"""What a transaction knows of nodes that report by the hundred, whatever it wrote meanwhile."""

from collections.abc import Sequence
from dataclasses import replace

from cloud.core.certificate import NodeCertificate
from cloud.core.node import NodeSpec
from cloud.core.readiness import NodeState
from cloud.core.report import Order, Report, Reporter
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import LATER, NOW, node, report

NAMES = ["a", "b", "c"]
PLACES = [("default", name) for name in NAMES]


async def put_nodes(store: Store) -> None:
    def put(tx: Transaction) -> None:
        for name in NAMES:
            tx.put_node(node(name))

    await store.write(put)


def one_by_one(tx: Transaction, places: Sequence[tuple[str, str]]) -> list[Reporter | None]:
    return [tx.reporter(*place) for place in places]


async def test_nodes_that_are_foreseen_are_those_that_are_looked_up(store: Store) -> None:
    await put_nodes(store)
    await store.write(lambda tx: tx.put_report("default", "a", report(Order("r", 1)), "json", NOW))
    certificate = NodeCertificate(5, "default.b", NOW, LATER)
    await store.write(lambda tx: tx.put_certificate(certificate))
    wanted = [*PLACES, ("default", "gone"), ("other", "a"), ("", "")]

    def foreseen(tx: Transaction) -> list[Reporter | None]:
        tx.expect_nodes(wanted)
        return one_by_one(tx, wanted)

    found = await store.read(lambda tx: one_by_one(tx, wanted))
    assert await store.read(foreseen) == found
    a, b, c, *unknown = found
    assert unknown == [None, None, None]
    assert a is not None
    assert b is not None
    assert c is not None
    assert (a.last, b.last, c.last) == (Order("r", 1), None, None)
    assert (a.certified, b.certified, c.certified) == (None, LATER, None)


async def test_a_revoked_certificate_identifies_no_node(store: Store) -> None:
    await put_nodes(store)

    def change(tx: Transaction) -> list[bool]:
        tx.put_certificate(NodeCertificate(5, "default.b", NOW, LATER))
        tx.expect_nodes(PLACES)
        before = tx.reporter("default", "b")
        tx.revoke_certificates("default.b", NOW)
        after = tx.reporter("default", "b")
        return [one is not None and one.certified is not None for one in (before, after)]

    assert await store.write(change) == [True, False]


async def test_what_a_transaction_writes_changes_what_it_foresaw(store: Store) -> None:
    await put_nodes(store)

    def change(tx: Transaction) -> list[Reporter | None]:
        tx.expect_nodes(PLACES)
        for number in (1, 2):
            tx.put_report("default", "a", report(Order("r", number)), "json", NOW)
        tx.put_node(replace(node("b"), spec=NodeSpec(labels={"new": "label"})))
        tx.delete_node("default", "c")
        return one_by_one(tx, PLACES)

    a, b, c = await store.write(change)
    assert a is not None
    assert a.last == Order("r", 2)
    assert b is not None
    assert b.labels["new"] == "label"
    assert c is None
    assert await store.read(lambda tx: one_by_one(tx, PLACES)) == [a, b, c]


async def test_reports_are_seen_in_the_transaction_that_puts_them(store: Store) -> None:
    await put_nodes(store)
    reports: list[Report] = [report(Order("r", number)) for number in range(len(NAMES))]

    def change(tx: Transaction) -> tuple[list[Report | None], int, bool]:
        tx.expect_nodes(PLACES)
        for place, one in zip(PLACES, reports, strict=True):
            tx.put_report(*place, one, "json", NOW)
        kept = [tx.report(*place) for place in PLACES]
        for place in PLACES:
            tx.put_report(*place, report(), "msgpack", LATER)
        had_one = tx.put_usage("default", "a", b"{}", LATER) is not None
        online = tx.count_states(LATER)[NodeState.ONLINE]
        return [one.report if one else None for one in kept], online, had_one

    assert await store.write(change) == (reports, len(NAMES), True)


async def test_a_node_may_be_deleted_with_its_report(store: Store) -> None:
    await put_nodes(store)

    def change(tx: Transaction) -> None:
        tx.put_report("default", "a", report(), "json", NOW)
        tx.delete_node("default", "a")

    await store.write(change)
    assert await store.read(lambda tx: tx.report("default", "a")) is None


async def test_a_report_drops_stats_that_came_before_it_in_the_same_transaction(
    store: Store,
) -> None:
    await put_nodes(store)
    await store.write(lambda tx: tx.put_report("default", "a", report(Order("r", 1)), "json", NOW))

    def change(tx: Transaction) -> None:
        tx.put_usage("default", "a", b"{}", LATER)
        tx.put_report("default", "a", report(Order("r", 2)), "json", LATER)

    await store.write(change)
    stored = await store.read(lambda tx: tx.report("default", "a"))
    assert stored is not None
    assert (stored.usage, stored.report.order) == (None, Order("r", 2))
