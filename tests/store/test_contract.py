"""What every store promises of each noun."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from cloud.core.app import App
from cloud.core.certificate import NodeCertificate
from cloud.core.config import Config
from cloud.core.registry import Registry
from cloud.core.resource import VersionedResource
from cloud.core.secret import Secret
from cloud.store.transaction import Store, Transaction
from tests import strategies
from tests.store.conftest import (
    LATER,
    NOW,
    app,
    batch,
    config,
    node,
    registry,
    report,
    secret,
)

some_examples = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NOUNS = ["node", "app", "config", "secret", "registry", "batch"]
RESOURCES: dict[str, type[VersionedResource[Any]]] = {
    "app": App,
    "config": Config,
    "secret": Secret,
    "registry": Registry,
}
MAKE: dict[str, Callable[..., Any]] = {
    "node": node,
    "app": app,
    "config": config,
    "secret": secret,
    "registry": registry,
    "batch": batch,
}


def put(tx: Transaction, noun: str, thing: Any) -> None:
    if noun in RESOURCES:
        tx.put_resource(thing)
    else:
        getattr(tx, f"put_{noun}")(thing)


def get(tx: Transaction, noun: str, namespace: str, name: str) -> Any:
    return getattr(tx, noun)(namespace, name)


def get_all(tx: Transaction, noun: str, namespace: str) -> list[Any]:
    if noun in RESOURCES:
        return list(tx.resources(RESOURCES[noun], namespace))
    plural = {"batch": "batches"}.get(noun, f"{noun}s")
    return list(getattr(tx, plural)(namespace))


def delete(tx: Transaction, noun: str, namespace: str, name: str) -> bool:
    if noun in RESOURCES:
        return tx.delete_resource(RESOURCES[noun].kind, namespace, name)
    return bool(getattr(tx, f"delete_{noun}")(namespace, name))


# everything that is described


@some_examples
@given(node=strategies.nodes)
async def test_a_node_is_got_as_it_was_put(store: Store, node: Any) -> None:
    await store.write(lambda tx: tx.put_node(node))
    assert await store.read(lambda tx: tx.node(node.namespace, node.name)) == node


@some_examples
@given(app=strategies.apps)
async def test_an_app_is_got_as_it_was_put(store: Store, app: Any) -> None:
    await store.write(lambda tx: tx.put_resource(app))
    assert await store.read(lambda tx: tx.app(app.namespace, app.name)) == app


@some_examples
@given(config=strategies.configs)
async def test_a_config_is_got_as_it_was_put(store: Store, config: Any) -> None:
    await store.write(lambda tx: tx.put_resource(config))
    assert await store.read(lambda tx: tx.config(config.namespace, config.name)) == config


@some_examples
@given(secret=strategies.secrets)
async def test_a_secret_is_got_as_it_was_put(store: Store, secret: Any) -> None:
    await store.write(lambda tx: tx.put_resource(secret))
    assert await store.read(lambda tx: tx.secret(secret.namespace, secret.name)) == secret


@some_examples
@given(registry=strategies.registries)
async def test_a_registry_is_got_as_it_was_put(store: Store, registry: Any) -> None:
    await store.write(lambda tx: tx.put_resource(registry))
    assert await store.read(lambda tx: tx.registry(registry.namespace, registry.name)) == registry


@some_examples
@given(batch=strategies.batches())
async def test_a_batch_is_got_as_it_was_put(store: Store, batch: Any) -> None:
    await store.write(lambda tx: tx.put_batch(batch))
    assert await store.read(lambda tx: tx.batch(batch.namespace, batch.name)) == batch


@pytest.mark.parametrize("noun", NOUNS)
async def test_what_is_not_there_is_none(store: Store, noun: str) -> None:
    assert await store.read(lambda tx: get(tx, noun, "default", "x")) is None
    assert await store.read(lambda tx: get_all(tx, noun, "default")) == []


@pytest.mark.parametrize("noun", NOUNS)
async def test_a_second_put_replaces_everything(store: Store, noun: str) -> None:
    first = MAKE[noun]("x")
    second = replace(
        first,
        spec=structs.replace(first.spec, description="another"),
        created=LATER,
        updated=LATER + timedelta(microseconds=1),
        **({} if noun in {"node", "batch"} else {"version": "2"}),
    )

    def put_both(tx: Transaction) -> None:
        put(tx, noun, first)
        put(tx, noun, second)

    await store.write(put_both)
    assert await store.read(lambda tx: get_all(tx, noun, "default")) == [second]


@pytest.mark.parametrize("noun", NOUNS)
async def test_delete_returns_whether_something_was_there(store: Store, noun: str) -> None:
    await store.write(lambda tx: put(tx, noun, MAKE[noun]("x")))
    assert await store.write(lambda tx: delete(tx, noun, "default", "x")) is True
    assert await store.read(lambda tx: get(tx, noun, "default", "x")) is None
    assert await store.write(lambda tx: delete(tx, noun, "default", "x")) is False


@pytest.mark.parametrize("noun", NOUNS)
async def test_a_name_is_another_thing_in_another_namespace_or_of_another_kind(
    store: Store, noun: str
) -> None:
    def put_all(tx: Transaction) -> None:
        for kind in NOUNS:
            put(tx, kind, MAKE[kind]("x"))
        put(tx, noun, replace(MAKE[noun]("x"), namespace="other", created=LATER))
        delete(tx, noun, "default", "x")

    await store.write(put_all)
    there = await store.read(lambda tx: [kind for kind in NOUNS if get(tx, kind, "default", "x")])
    assert there == [kind for kind in NOUNS if kind != noun]
    assert [one.created for one in await store.read(lambda tx: get_all(tx, noun, "other"))] == [
        LATER
    ]


@pytest.mark.parametrize("noun", NOUNS)
@some_examples
@given(
    rows=st.lists(
        st.tuples(strategies.names, st.integers(0, 2)), unique_by=lambda row: row[0], max_size=8
    )
)
async def test_lists_are_oldest_first_then_by_name_bytewise(
    store: Store, noun: str, rows: list[tuple[str, int]]
) -> None:
    def put_anew(tx: Transaction) -> None:
        for thing in get_all(tx, noun, "default"):
            delete(tx, noun, "default", thing.name)
        for name, age in rows:
            put(tx, noun, replace(MAKE[noun](name), created=NOW - timedelta(microseconds=age)))

    await store.write(put_anew)
    listed = await store.read(lambda tx: [one.name for one in get_all(tx, noun, "default")])
    assert listed == [name for name, _ in sorted(rows, key=lambda row: (-row[1], row[0].encode()))]


async def test_moments_are_kept_to_the_microsecond_and_come_back_in_utc(store: Store) -> None:
    there = datetime(2026, 3, 29, 3, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    await store.write(lambda tx: tx.put_node(replace(node(), created=there)))
    kept = await store.read(lambda tx: tx.nodes("default")[0].created)
    assert (kept, kept.tzinfo) == (there, UTC)


# nodes


async def test_a_deleted_node_leaves_its_certificates_and_nothing_else(store: Store) -> None:
    given_out = NodeCertificate(1, "default.n", NOW, LATER)

    def put_all(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_report("default", "n", report(), "json", NOW)
        tx.mark_pending([node()])
        tx.put_certificate(given_out)
        assert tx.delete_node("default", "n")

    await store.write(put_all)
    await store.write(lambda tx: tx.put_node(node()))
    assert await store.read(lambda tx: tx.report("default", "n")) is None
    reporter = await store.read(lambda tx: tx.reporter("default", "n"))
    assert reporter is not None
    assert reporter.last is None
    assert await store.read(lambda tx: tx.heard("default", "n")) is None
    assert await store.write(lambda tx: tx.take_pending(10)) == []
    assert await store.read(lambda tx: tx.certificate(1)) == given_out


async def test_putting_a_node_again_keeps_its_report(store: Store) -> None:
    def put_again(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_report("default", "n", report(), "json", NOW)
        tx.put_node(replace(node(), updated=LATER))

    await store.write(put_again)
    assert await store.read(lambda tx: tx.report("default", "n")) is not None
