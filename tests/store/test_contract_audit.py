"""What a store promises of the audit log."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cloud.core.audit import (
    ADMINISTRATOR,
    Actor,
    ActorKind,
    Attempt,
    AuditFilter,
    ChainedEntry,
    Entry,
    Head,
)
from cloud.core.tokens import EVERYWHERE
from cloud.errors import NotFound
from cloud.store.transaction import Store, Transaction
from tests.conftest import StoreFactory
from tests.store.conftest import LATER, NOW, Refused, node

ALL = AuditFilter(EVERYWHERE)
FAR = 2**63 - 1


def entry(name: str = "web", *, action: str = "app.update") -> Entry:
    attempt = Attempt(
        Actor(ActorKind.TOKEN, "ci", "shop"),
        action,
        NOW,
        "default",
        name,
        "192.0.2.7",
        "a-request-id",
        "because",
    )
    return Entry(attempt, "done", '{"a":1}', '{"a":2}', '{"app":2}')


def changed(one: Entry, **fields: Any) -> Entry:
    return replace(one, attempt=replace(one.attempt, **fields))


async def appended(store: Store, *entries: Entry) -> list[ChainedEntry]:
    return await store.write(lambda tx: [tx.append_audit(one) for one in entries])


async def listed(store: Store, wanted: AuditFilter = ALL) -> list[int]:
    """Numbers of the entries that are wanted; counted the same."""
    found = await store.read(lambda tx: tx.audit_links(wanted, below=FAR, limit=100))
    assert await store.read(lambda tx: tx.count_audit(wanted)) == len(found)
    return [link.number for link in found]


async def test_entries_are_kept_whole_in_their_order(store: Store, tmp_path: Path) -> None:
    first, second = await appended(store, entry("a"), entry("b"))
    assert (first.number, second.number) == (1, 2)
    assert first.entry == entry("a")
    found = await store.read(lambda tx: tx.audit_links(ALL, below=FAR, limit=2))
    assert list(found) == [second, first]
    assert await store.read(lambda tx: tx.audit_head()) == second.head
    assert await store.read(lambda tx: tx.audit_link(1)) == first
    assert await store.read(lambda tx: tx.audit_link(3)) is None


async def test_a_log_goes_on_where_it_was(open_again: StoreFactory, tmp_path: Path) -> None:
    async with open_again(tmp_path) as store:
        assert await store.read(lambda tx: tx.audit_head()) == Head()
        await appended(store, entry("a"))
        anchor = await store.read(lambda tx: tx.audit_anchor())
    async with open_again(tmp_path) as store:
        (second,) = await appended(store, entry("b"))
        assert second.number == 2
        assert await store.read(lambda tx: tx.audit_anchor()) == anchor


async def test_what_is_rolled_back_is_in_no_log(store: Store) -> None:
    def refused(tx: Transaction) -> None:
        tx.append_audit(entry("a"))
        raise Refused

    with pytest.raises(Refused):
        await store.write(refused)
    assert await listed(store) == []
    assert (await appended(store, entry("b")))[0].number == 1


async def test_many_writers_make_one_chain(store: Store) -> None:
    def change(tx: Transaction) -> int:
        tx.put_node(node())
        return tx.append_audit(entry()).number

    numbers = await asyncio.gather(*(store.write(change) for _ in range(50)))
    assert sorted(numbers) == list(range(1, 51))


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (AuditFilter("default"), [5, 4, 3, 1]),
        (AuditFilter("other"), [2]),
        (AuditFilter(EVERYWHERE, actor="ci"), [4, 3, 2, 1]),
        (AuditFilter(EVERYWHERE, actor="administrator"), [5]),
        (AuditFilter(EVERYWHERE, action="app.update"), [5, 4, 2, 1]),
        (AuditFilter(EVERYWHERE, kind="node"), [3]),
        (AuditFilter(EVERYWHERE, kind="nod"), []),
        (AuditFilter("default", name="web"), [5, 4, 1]),
        (AuditFilter(EVERYWHERE, request_id="another"), [4]),
        (AuditFilter(EVERYWHERE, since=LATER), [4]),
        (AuditFilter(EVERYWHERE, until=LATER), [5, 3, 2, 1]),
        (AuditFilter("default", actor="ci", kind="app", since=NOW, until=LATER), [1]),
    ],
)
async def test_a_filter_leaves_what_is_wanted(
    store: Store, wanted: AuditFilter, numbers: list[int]
) -> None:
    await appended(
        store,
        entry("web"),
        changed(entry("web"), namespace="other"),
        entry("n1", action="node.delete"),
        changed(entry("web"), time=LATER, request_id="another"),
        changed(entry("web"), actor=ADMINISTRATOR),
    )
    assert await listed(store, wanted) == numbers


async def test_a_page_ends_and_the_next_begins_below(store: Store) -> None:
    await appended(store, *(entry(str(number)) for number in range(5)))
    for below, numbers in ((FAR, [5, 4]), (4, [3, 2]), (2, [1]), (1, [])):
        page = await store.read(partial(_page, below=below))
        assert [link.number for link in page] == numbers


def _page(tx: Transaction, below: int) -> Sequence[ChainedEntry]:
    return tx.audit_links(ALL, below=below, limit=2)


async def test_the_first_that_is_not_older_is_found(store: Store) -> None:
    assert await store.read(lambda tx: tx.first_audit_since(NOW)) == 1
    await appended(store, entry("a"), changed(entry("b"), time=LATER), entry("c"))
    assert await store.read(lambda tx: tx.first_audit_since(NOW)) == 1
    assert await store.read(lambda tx: tx.first_audit_since(LATER)) == 2
    after = LATER + timedelta(microseconds=1)
    assert await store.read(lambda tx: tx.first_audit_since(after)) == 4


async def test_what_is_pruned_is_gone_and_the_rest_stays_a_chain(store: Store) -> None:
    links = await appended(store, *(entry(str(number)) for number in range(5)))
    await store.write(lambda tx: tx.prune_audit(3))
    assert await listed(store) == [5, 4]
    assert (await store.read(lambda tx: tx.audit_anchor())).head == links[2].head
    assert (await appended(store, entry("6")))[0].number == 6
    for number in (0, 3, 7):
        with pytest.raises(NotFound):
            await store.write(partial(_prune, number=number))
    await store.write(lambda tx: tx.prune_audit(6))
    assert await listed(store) == []
    assert (await appended(store, entry("7")))[0].number == 7


def _prune(tx: Transaction, number: int) -> None:
    tx.prune_audit(number)
