"""What every store promises of lists and of nodes chosen by a selector."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import AppSpec
from cloud.core.batch import Record
from cloud.core.config import ConfigSpec
from cloud.core.desired import selects
from cloud.core.listing import ListOptions, NumberedPage, Page, PageOptions, page_of
from cloud.core.node import Node, NodeSpec
from cloud.core.selectors import LENGTH_LIMIT
from cloud.errors import Invalid
from cloud.store.interface import Store, Transaction
from cloud.store.selection import SORTED_AT_MOST
from tests.core.strategies import labels, selectors
from tests.store.conftest import NOW, app, batch, config, node, record, registry, secret
from tests.store.test_contract import some_examples


def labelled(name: str, own: Mapping[str, str], seconds: int = 0) -> Node:
    created = NOW + timedelta(seconds=seconds)
    return Node("default", name, NodeSpec(dict(own)), created, created)


def fleet_of(*own: Mapping[str, str]) -> list[Node]:
    """Nodes of these labels, made in another order than that of their names."""
    return [labelled(f"n{number}", one, number * 7 % 3) for number, one in enumerate(own)]


def clear(tx: Transaction) -> None:
    for old in tx.nodes("default"):
        tx.delete_node("default", old.name)
    tx.take_stale(1000)


fleets = st.lists(labels, max_size=6).map(lambda own: fleet_of(*own))
fields = st.sampled_from(
    ["", "metadata.name=n1", "metadata.name!=n1", "metadata.namespace!=default"]
)


@some_examples
@given(fleet=fleets, selector=selectors(), field=fields, limit=st.integers(0, 3))
async def test_the_store_selects_what_matches_says(
    store: Store, fleet: list[Node], selector: str, field: str, limit: int
) -> None:
    def work(tx: Transaction) -> None:
        clear(tx)
        tx.put_node(replace(node("n1"), namespace="other"))
        for one in fleet:
            tx.put_node(one)
        options = ListOptions(selector, field, limit)
        while True:
            expected = page_of(fleet, options, lambda one: one.labels)
            page = tx.list_nodes("default", options)
            assert page == expected
            if page.after is None:
                break
            options = replace(options, after=page.after)

    await store.write(work)


@some_examples
@given(selector=selectors(), fleet=fleets)
async def test_exactly_the_nodes_that_an_app_is_for_are_marked(
    store: Store, selector: str, fleet: list[Node]
) -> None:
    changed = replace(app(), spec=AppSpec(selector=selector))

    def work(tx: Transaction) -> set[str]:
        clear(tx)
        for one in fleet:
            tx.put_node(one)
        tx.mark_selected_stale("default", changed.selector)
        return {name for _, name in tx.take_stale(1000)}

    expected = {one.name for one in fleet if selects(changed, one.labels)}
    assert await store.write(work) == expected


async def test_a_page_is_the_same_however_much_there_is(store: Store) -> None:
    """What an index does not have in order is sorted only where it is little."""
    few, many = 10, SORTED_AT_MOST + 10

    def put(tx: Transaction, start: int, end: int) -> None:
        for number in range(start, end):
            tx.put_node(labelled(f"n{number}", {"a": str(number % 2)}, number))

    async def listed(options: ListOptions) -> Page[Node]:
        return await store.read(lambda tx: tx.list_nodes("default", options))

    for start, end in ((0, few), (few, many)):
        await store.write(partial(put, start=start, end=end))
        for selector in ("a in (0,1)", "a", "a<2", "a!=2", "a in (0,1),a"):
            page = await listed(ListOptions(selector, limit=3))
            assert ([one.name for one in page.items], page.total) == (["n0", "n1", "n2"], end)


async def test_a_list_with_more_terms_than_sqlite_nests_is_read(store: Store) -> None:
    keys = [
        f"{a}{b}" for a in "abcdefghijklmnopqrstuvwxyz" for b in "abcdefghijklmnopqrstuvwxyz0123"
    ]
    text = ",".join(f"!{key}" for key in keys)
    assert len(text) <= LENGTH_LIMIT
    await store.write(lambda tx: tx.put_node(node()))
    page = await store.read(lambda tx: tx.list_nodes("default", ListOptions(text)))
    assert page.total == 1
    names = ",".join(f"metadata.name!={key}" for key in keys[:200])
    page = await store.read(lambda tx: tx.list_nodes("default", ListOptions("", names)))
    assert page.total == 1


async def test_labels_go_with_what_has_them(store: Store) -> None:
    async def total(selector: str) -> int:
        options = ListOptions(selector)
        return (await store.read(lambda tx: tx.list_nodes("default", options))).total

    await store.write(lambda tx: tx.put_node(labelled("n", {"a": "1"})))
    await store.write(lambda tx: tx.put_node(labelled("n", {"b": "1"})))
    assert [await total(text) for text in ("a", "b", "baetyl-node-name=n")] == [0, 1, 1]
    await store.write(lambda tx: tx.delete_node("default", "n"))
    assert await total("b") == 0


async def test_everything_is_listed_by_its_own_labels(store: Store) -> None:
    own = {"a": "1"}

    def put(tx: Transaction) -> None:
        tx.put_app(replace(app("one"), spec=AppSpec(labels=own)))
        tx.put_app(app("two"))
        tx.put_config(replace(config("one"), spec=ConfigSpec(labels=own)))
        tx.put_config(config("two"))
        tx.put_secret(secret("one"))
        tx.put_registry(registry("two"))

    def names(tx: Transaction, selector: str) -> list[list[str]]:
        options = ListOptions(selector)
        return [
            [one.name for one in tx.list_apps("default", options).items],
            [one.name for one in tx.list_configs("default", options).items],
            [one.name for one in tx.list_secrets("default", options).items],
            [one.name for one in tx.list_registries("default", options).items],
        ]

    await store.write(put)
    expected = {
        "a=1": [["one"], ["one"], [], []],
        "a!=1": [["two"], ["two"], ["one"], ["two"]],
        "secret-type=config": [[], [], ["one"], []],
    }
    for selector, found in expected.items():
        assert await store.read(partial(names, selector=selector)) == found
    await store.write(lambda tx: tx.delete_app("default", "one"))
    assert (await store.read(partial(names, selector="a=1")))[0] == []


@pytest.mark.parametrize("options", [ListOptions("a=("), ListOptions("", "spec.x=1")])
async def test_a_selector_that_cannot_be_read_is_refused(
    store: Store, options: ListOptions
) -> None:
    with pytest.raises(Invalid):
        await store.read(lambda tx: tx.list_nodes("default", options))


async def test_numbered_pages_are_newest_first(store: Store) -> None:
    def put(tx: Transaction) -> None:
        for number in range(5):
            created = NOW + timedelta(seconds=number)
            tx.put_batch(replace(batch(f"t{number}"), created=created))
            tx.put_record(
                replace(record(f"r{number}", f"SN-{number}", batch="t0"), created=created)
            )
        tx.put_batch(batch("other"))

    async def listed(options: PageOptions) -> NumberedPage[Record]:
        return await store.read(lambda tx: tx.list_records("default", "t0", options))

    await store.write(put)
    page = await store.read(lambda tx: tx.list_batches("default", PageOptions(2, 2, "T")))
    assert [one.name for one in page.items] == ["t2", "t1"]
    assert (page.total, page.number, page.size) == (6, 2, 2)
    found = await listed(PageOptions(1, 2, "sN-"))
    assert ([one.name for one in found.items], found.total) == (["r4", "r3"], 5)
    for part, total in (("R1", 1), ("%", 0), ("_", 0)):
        options = PageOptions(1, 9, part)
        found = await listed(options)
        assert found.total == total
    last = PageOptions(999_999_999, 999_999_999)
    past = await listed(last)
    assert (list(past.items), past.total) == ([], 5)
