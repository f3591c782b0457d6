"""What every store promises of catalogs: never an old one, and no needless new one."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.core.app import App
from cloud.core.config import Config
from cloud.core.desired import Catalog
from cloud.core.registry import Registry
from cloud.core.secret import Secret
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import (
    WAIT,
    Refused,
    app,
    config,
    node,
    registry,
    result_of,
    secret,
)


def versions(catalog: Catalog) -> dict[str, str]:
    return {name: one.version for name, one in catalog.apps.items()}


async def test_a_catalog_is_the_same_until_a_resource_changes(store: Store) -> None:
    def look(tx: Transaction) -> Catalog:
        return tx.catalog("default")

    await store.write(lambda tx: tx.put_resource(app()))
    first = await store.read(look)
    await store.write(lambda tx: tx.put_node(node()))
    assert await store.read(look) is first
    assert await store.write(look) is first

    def put_app(tx: Transaction) -> None:
        tx.put_resource(app(version="2"))

    changes: list[Callable[[Transaction], object]] = [
        put_app,
        lambda tx: tx.put_resource(config()),
        lambda tx: tx.delete_resource(Config.kind, "default", "conf"),
        lambda tx: tx.put_resource(secret()),
        lambda tx: tx.delete_resource(Secret.kind, "default", "password"),
        lambda tx: tx.put_resource(registry()),
        lambda tx: tx.delete_resource(Registry.kind, "default", "registry"),
        lambda tx: tx.delete_resource(App.kind, "default", "web"),
    ]
    for change in changes:
        before = await store.read(look)
        await store.write(change)
        after = await store.read(look)
        assert after is not before
        assert after.apps == {
            one.name: one for one in await store.read(lambda tx: tx.resources(App, "default"))
        }


async def test_a_catalog_is_of_one_namespace(store: Store) -> None:
    def put_two(tx: Transaction) -> None:
        tx.put_resource(app("a", "one"))
        tx.put_resource(app("b", "two"))

    await store.write(put_two)
    assert versions(await store.read(lambda tx: tx.catalog("one"))) == {"a": "1"}
    assert versions(await store.read(lambda tx: tx.catalog("two"))) == {"b": "1"}
    assert versions(await store.read(lambda tx: tx.catalog("none"))) == {}


async def test_a_catalog_of_a_failed_transaction_is_not_visible_to_others(store: Store) -> None:
    await store.write(lambda tx: tx.put_resource(app(version="1")))
    first = await store.read(lambda tx: tx.catalog("default"))

    def put_look_and_refuse(tx: Transaction) -> None:
        assert versions(tx.catalog("default")) == {"web": "1"}
        tx.put_resource(app(version="2"))
        assert versions(tx.catalog("default")) == {"web": "2"}
        tx.put_resource(app(version="3"))
        assert versions(tx.catalog("default")) == {"web": "3"}
        raise Refused

    with pytest.raises(Refused):
        await store.write(put_look_and_refuse)
    assert await store.read(lambda tx: tx.catalog("default")) is first
    await store.write(lambda tx: tx.put_resource(app(version="4")))
    assert versions(await store.read(lambda tx: tx.catalog("default"))) == {"web": "4"}


async def test_an_old_reader_does_not_bring_an_old_catalog_back(store: Store) -> None:
    looked, written = threading.Event(), threading.Event()
    await store.write(lambda tx: tx.put_resource(app(version="1")))

    def look_late(tx: Transaction) -> Catalog:
        tx.nodes("default")
        looked.set()
        assert written.wait(WAIT)
        return tx.catalog("default")

    async def write_between() -> Catalog:
        assert await asyncio.to_thread(looked.wait, WAIT)
        await store.write(lambda tx: tx.put_resource(app(version="2")))
        newer = await store.read(lambda tx: tx.catalog("default"))
        written.set()
        return newer

    async with asyncio.TaskGroup() as tasks:
        old = tasks.create_task(result_of(store.read(look_late)))
        new = tasks.create_task(write_between())
    assert versions(old.result()) == {"web": "1"}
    assert versions(new.result()) == {"web": "2"}
    assert await store.read(lambda tx: tx.catalog("default")) is new.result()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "delete", "look"]), st.sampled_from("abc"), st.booleans()
        ),
        max_size=12,
    )
)
async def test_whatever_happens_a_catalog_holds_the_apps_there_are(
    store: Store, steps: list[tuple[str, str, bool]]
) -> None:
    def step(tx: Transaction, what: str, name: str, *, fails: bool) -> None:
        if what == "put":
            tx.put_resource(app(name, version=tx.next_version()))
        elif what == "delete":
            tx.delete_resource(App.kind, "default", name)
        assert tx.catalog("default").apps == {one.name: one for one in tx.resources(App, "default")}
        if fails:
            raise Refused

    for what, name, fails in steps:
        try:
            await store.write(lambda tx, a=what, b=name, c=fails: step(tx, a, b, fails=c))  # type: ignore[misc]
        except Refused:
            assert fails
        found = await store.read(
            lambda tx: (tx.catalog("default").apps, tx.resources(App, "default"))
        )
        assert found[0] == {one.name: one for one in found[1]}
