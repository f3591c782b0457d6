"""What a store promises to who wants to know whom a change reaches."""

import contextlib
from datetime import timedelta
from pathlib import Path

from cloud.core.guard import ChangeGuard, GuardSpec
from cloud.core.plan import Reach
from cloud.core.selectors import parse_selector
from cloud.store.migrations import migrate
from cloud.store.parts.pending_nodes import RESTORE_PENDING
from cloud.store.sqlite_connection import open_connection
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import LATER, NOW, node, report

ROLE = parse_selector("role=gateway")


def some_nodes(tx: Transaction) -> None:
    for name in ("n1", "n2", "n3"):
        tx.put_node(node(name))
    tx.put_node(node("n1", "other"))
    tx.put_report("default", "n1", report(), "json", NOW)
    tx.put_report("default", "n2", report(), "json", NOW)


async def test_who_is_on_the_list_is_counted_with_those_that_are_not_there(store: Store) -> None:
    def work(tx: Transaction) -> tuple[Reach, Reach]:
        some_nodes(tx)
        tx.put_usage("default", "n1", b"{}", LATER + timedelta(minutes=10))
        tx.mark_selected_pending("default", ROLE)
        late = LATER + timedelta(minutes=10)
        reaches = [tx.pending_reach("default", now=now, names=2) for now in (LATER, late)]
        return reaches[0], reaches[1]

    soon, late = await store.write(work)
    assert soon == Reach(3, 1, 3, ["n1", "n2"])
    assert late == Reach(3, 2, 3, ["n1", "n2"])


async def test_who_was_set_aside_is_put_back_unless_it_is_gone(store: Store) -> None:
    def work(tx: Transaction) -> tuple[list[str], Reach, list[tuple[str, str]]]:
        some_nodes(tx)
        tx.mark_selected_pending("default", ROLE)
        tx.mark_pending([node("n1", "other")])
        aside = tx.hold_pending("default")
        tx.delete_node("default", "n3")
        tx.mark_pending([node("n2")])
        reach = tx.pending_reach("default", now=LATER, names=10)
        tx.restore_pending("default", aside)
        return sorted(aside), reach, list(tx.take_pending(10))

    aside, reach, taken = await store.write(work)
    assert aside == ["n1", "n2", "n3"]
    assert reach == Reach(1, 0, 2, ["n2"])
    assert sorted(taken) == [("default", "n1"), ("default", "n2"), ("other", "n1")]


async def test_a_selector_is_counted_and_none_selects_no_node(store: Store) -> None:
    def work(tx: Transaction) -> tuple[int, int, int]:
        some_nodes(tx)
        return (
            tx.count_matching("default", ROLE),
            tx.count_matching("default", (*ROLE, *parse_selector("role=camera"))),
            tx.count_matching("default", ()),
        )

    assert await store.write(work) == (3, 0, 0)


async def test_a_guard_is_kept_as_it_was_put_for_its_namespace(store: Store) -> None:
    guard = ChangeGuard("default", GuardSpec(0.1 + 0.2, 7))

    def work(tx: Transaction) -> None:
        tx.put_guard(ChangeGuard("default", GuardSpec(0.5)))
        tx.put_guard(guard)

    await store.write(work)
    assert await store.read(lambda tx: tx.guard("default")) == guard
    assert await store.read(lambda tx: tx.guard("other")) is None


def test_putting_back_looks_each_node_up_rather_than_all_names_for_each_node(
    tmp_path: Path,
) -> None:
    """10,000 that waited held the only writer for 20 seconds, at each change."""
    path = tmp_path / "db"
    path.touch()
    with contextlib.closing(open_connection(path, lock_wait=timedelta(seconds=1))) as database:
        migrate(database)
        parameters = {"namespace": "default", "names": "[]"}
        steps = database.execute(f"EXPLAIN QUERY PLAN {RESTORE_PENDING.sqlite}", parameters)
        found = [step[3] for step in steps]
    assert found[0].startswith("SCAN given"), found
    assert any("SEARCH node" in step and "namespace=? AND name=?" in step for step in found), found
