"""What every store promises of lists and of nodes chosen by a selector."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import App, AppSpec, Ref, Volume, uses_of
from cloud.core.batch import Record
from cloud.core.config import Config, ConfigSpec
from cloud.core.desired import selects
from cloud.core.kinds import CONFIG, REGISTRY, SECRET, ResourceKind
from cloud.core.listing import ListOptions, NumberedPage, Page, PageOptions
from cloud.core.node import Node, NodeSpec
from cloud.core.registry import Registry
from cloud.core.secret import Secret
from cloud.core.selectors import LENGTH_LIMIT
from cloud.errors import Invalid
from cloud.store.transaction import Store, Transaction
from tests.core.strategies import labels, selectors
from tests.store.conftest import NOW, Refused, app, batch, config, node, record, registry, secret
from tests.store.list_model import page_of
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
    tx.take_pending(1000)


def labelled_app(name: str, own: Mapping[str, str], seconds: int) -> App:
    created = NOW + timedelta(seconds=seconds)
    return App("default", name, AppSpec(labels=dict(own)), "1", created, created)


def using(one: App, configs: list[str], secrets: list[str], registries: list[str]) -> App:
    """The same app, using these."""
    volumes = [Volume(f"c{number}", config=Ref(name)) for number, name in enumerate(configs)]
    volumes += [Volume(f"s{number}", secret=Ref(name)) for number, name in enumerate(secrets)]
    refs = tuple(Ref(name) for name in registries)
    return replace(
        one, spec=msgspec.structs.replace(one.spec, volumes=tuple(volumes), registries=refs)
    )


fleets = st.lists(labels, max_size=6).map(lambda own: fleet_of(*own))
fields = st.sampled_from(
    [
        *("", "metadata.name=n1", "metadata.name!=n1", "metadata.namespace!=default"),
        *("metadata.name=n*", "metadata.name notin (*1,n2)", "metadata.name in (n1,n3)"),
    ]
)


@some_examples
@given(fleet=fleets, selector=selectors(), field=fields, limit=st.integers(0, 3))
async def test_the_store_selects_what_matches_accepts(
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


changes = st.tuples(
    st.sampled_from(["n1", "n2", "n3"]), st.none() | labels, st.booleans(), st.integers(0, 2)
)
"""The name of a node, its labels (None: it is deleted), whether the change is given up, and how
often the nodes are then listed.
"""


@some_examples
@given(selector=selectors(), steps=st.lists(changes, max_size=8))
async def test_a_total_is_that_of_now_whatever_changes_between_two_lists(
    store: Store, selector: str, steps: list[tuple[str, dict[str, str] | None, bool, int]]
) -> None:
    """Also to who lists within a change, and after a change that was given up."""
    options = ListOptions(selector, limit=1)
    fleet: dict[str, Node] = {}

    def look(tx: Transaction, there: Mapping[str, Node]) -> None:
        assert tx.list_nodes("default", options) == page_of(
            there.values(), options, lambda one: one.labels
        )

    def change(tx: Transaction, there: Mapping[str, Node], name: str, *, fails: bool) -> None:
        if name in there:
            tx.put_node(there[name])
        else:
            tx.delete_node("default", name)
        look(tx, there)
        if fails:
            raise Refused

    await store.write(clear)
    for name, own, fails, looks in steps:
        after = {other: one for other, one in fleet.items() if other != name}
        if own is not None:
            after[name] = labelled(name, own)
        try:
            await store.write(partial(change, there=after, name=name, fails=fails))
            fleet = after
        except Refused:
            assert fails
        for _ in range(looks):
            await store.read(partial(look, there=fleet))


async def test_a_total_of_a_failed_transaction_is_not_visible_to_others(store: Store) -> None:
    def total(tx: Transaction) -> int:
        return tx.list_nodes("default", ListOptions("a")).total

    def put(tx: Transaction, own: Mapping[str, str], name: str = "n") -> int:
        tx.put_node(labelled(name, own))
        return total(tx)

    def put_and_refuse(tx: Transaction) -> None:
        assert put(tx, {"b": "1"}) == 0
        assert put(tx, {"a": "1"}) == 1
        assert put(tx, {"a": "1"}, "m") == 2
        raise Refused

    assert await store.write(partial(put, own={"a": "1"})) == 1
    with pytest.raises(Refused):
        await store.write(put_and_refuse)
    assert await store.read(total) == 1
    assert await store.write(partial(put, own={"b": "1"})) == 0
    assert await store.read(total) == 0


async def test_totals_of_one_list_are_not_those_of_another(store: Store) -> None:
    def totals(tx: Transaction) -> list[int]:
        named = ListOptions("", "metadata.name=one")
        lists = (
            tx.list_nodes,
            partial(tx.list_resources, App),
            partial(tx.list_resources, Config),
        )
        return [
            one(namespace, options).total
            for one in lists
            for namespace in ("default", "other")
            for options in (ListOptions(), named, ListOptions("a"))
        ]

    assert await store.read(totals) == [0] * 18
    for _ in range(2):
        await store.write(lambda tx: tx.put_resource(app("two")))
        assert await store.read(totals) == [0] * 6 + [1, 0, 0, 0, 0, 0] + [0] * 6
    await store.write(lambda tx: tx.put_resource(app("one", "other")))
    await store.write(lambda tx: tx.put_resource(config("one")))
    assert await store.read(totals) == [0] * 6 + [1, 0, 0, 1, 1, 0, 1, 1, 0] + [0] * 3
    await store.write(lambda tx: tx.put_node(labelled("one", {"a": "1"})))
    await store.write(lambda tx: tx.put_node(labelled("two", {})))
    await store.write(lambda tx: tx.delete_resource(App.kind, "default", "two"))
    assert await store.read(totals) == [2, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 0] + [0] * 3


@some_examples
@given(
    fleet=fleets.filter(len),
    selector=selectors(),
    limit=st.integers(1, 3),
    gone=st.sets(st.integers(0, 5)),
)
async def test_pages_show_each_thing_that_stays_exactly_once(
    store: Store, fleet: list[Node], selector: str, limit: int, gone: set[int]
) -> None:
    def put(tx: Transaction) -> None:
        clear(tx)
        for one in fleet:
            tx.put_node(one)

    def change(tx: Transaction) -> None:
        for index in gone.intersection(range(len(fleet))):
            tx.delete_node("default", f"n{index}")
        tx.put_node(labelled("n00", fleet[0].labels, 1))

    def listed(tx: Transaction, options: ListOptions) -> Page[Node]:
        return tx.list_nodes("default", options)

    await store.write(put)
    shown: list[str] = []
    options = ListOptions(selector, limit=limit)
    while True:
        page = await store.read(partial(listed, options=options))
        shown += [one.name for one in page.items]
        if page.after is None:
            break
        options = replace(options, after=page.after)
        await store.write(change)
    everything = page_of(fleet, ListOptions(selector), lambda one: one.labels).items
    stayed = {one.name for one in everything if int(one.name[1:]) not in gone}
    assert len(shown) == len(set(shown))
    assert stayed <= set(shown)


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
        tx.mark_selected_pending("default", changed.selector)
        return {name for _, name in tx.take_pending(1000)}

    expected = {one.name for one in fleet if selects(changed, one.labels)}
    assert await store.write(work) == expected


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


async def test_more_negative_terms_than_are_counted_apart_leave_out_the_same(store: Store) -> None:
    def put(tx: Transaction) -> None:
        for number in range(12):
            tx.put_node(labelled(f"n{number}", {f"k{number}": "", f"k{number + 1}": "", "a": "1"}))

    await store.write(put)
    for count in range(1, 12):
        negative = ",".join(f"!k{number}" for number in range(count))
        for positive in ("", "a=1,", "a>0,a,"):
            options = ListOptions(positive + negative, limit=2)
            page = await store.read(lambda tx: tx.list_nodes("default", options))  # noqa: B023
            assert page.total == 12 - count
            assert len(page.items) == min(2, page.total)


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
        tx.put_resource(replace(app("one"), spec=AppSpec(labels=own)))
        tx.put_resource(app("two"))
        tx.put_resource(replace(config("one"), spec=ConfigSpec(labels=own)))
        tx.put_resource(config("two"))
        tx.put_resource(secret("one"))
        tx.put_resource(registry("two"))

    def names(tx: Transaction, selector: str) -> list[list[str]]:
        options = ListOptions(selector)
        return [
            [one.name for one in tx.list_resources(App, "default", options).items],
            [one.name for one in tx.list_resources(Config, "default", options).items],
            [one.name for one in tx.list_resources(Secret, "default", options).items],
            [one.name for one in tx.list_resources(Registry, "default", options).items],
        ]

    await store.write(put)
    expected = {
        "a=1": [["one"], ["one"], [], []],
        "a!=1": [["two"], ["two"], ["one"], ["two"]],
        "secret-type=config": [[], [], ["one"], []],
    }
    for selector, found in expected.items():
        assert await store.read(partial(names, selector=selector)) == found
    await store.write(lambda tx: tx.delete_resource(App.kind, "default", "one"))
    assert (await store.read(partial(names, selector="a=1")))[0] == []


used_names = st.lists(st.sampled_from(["x", "y"]), max_size=3)


@some_examples
@given(
    apps=st.lists(
        st.tuples(st.sampled_from("abc"), used_names, used_names, used_names, labels), max_size=6
    ),
    gone=st.sets(st.sampled_from("abc")),
    kind=st.sampled_from([CONFIG, SECRET, REGISTRY]),
    name=st.sampled_from(["x", "y"]),
    selector=selectors(),
    limit=st.integers(0, 2),
)
async def test_the_apps_that_use_something_are_those_that_name_it(
    store: Store,
    apps: list[tuple[str, list[str], list[str], list[str], dict[str, str]]],
    gone: set[str],
    kind: ResourceKind,
    name: str,
    selector: str,
    limit: int,
) -> None:
    there: dict[str, App] = {}

    def work(tx: Transaction) -> None:
        for old in tx.resources(App, "default"):
            tx.delete_resource(App.kind, "default", old.name)
        tx.put_resource(using(app("b", "other"), ["x"], ["x"], ["x"]))
        for number, (own, configs, secrets, registries, own_labels) in enumerate(apps):
            plain = labelled_app(own, own_labels, number % 2)
            there[own] = using(plain, configs, secrets, registries)
            tx.put_resource(there[own])
        for own in gone:
            tx.delete_resource(App.kind, "default", own)
            there.pop(own, None)
        users = [
            one
            for one in there.values()
            if any((use.kind, use.name) == (kind, name) for use in uses_of(one.spec))
        ]
        options = ListOptions(selector, limit=limit)
        while True:
            page = tx.list_apps_using("default", kind, name, options)
            assert page == page_of(users, options, lambda one: one.spec.labels)
            if page.after is None:
                break
            options = replace(options, after=page.after)

    await store.write(work)


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
