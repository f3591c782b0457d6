"""What people do with apps."""

from itertools import count

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.core.app import App, AppSpec
from cloud.core.config import Config
from cloud.core.desired import desired_state
from cloud.core.kinds import CONFIG
from cloud.core.listing import ListOptions
from cloud.core.node import NodeSpec
from cloud.core.secret import SecretSpec
from cloud.errors import CloudError, InUse, Invalid, NotFound
from cloud.operations import apps, configs, nodes, secrets
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import (
    LATER,
    NAMESPACE,
    NOW,
    add_nodes,
    app_spec,
    config_spec,
    stale_after,
)


def _version(app: App) -> int:
    return int(app.version)


async def test_a_new_app_is_for_the_nodes_it_selects(store: Store) -> None:
    await store.write(lambda tx: add_nodes(tx, n1="gateway", n2="camera"))
    stale = await stale_after(
        store, lambda tx: apps.create_app(tx, NAMESPACE, "web", app_spec(), now=NOW)
    )
    assert stale == {"n1"}


async def test_an_app_without_selector_selects_no_node(store: Store) -> None:
    await store.write(lambda tx: add_nodes(tx, n1="gateway"))
    stale = await stale_after(
        store, lambda tx: apps.create_app(tx, NAMESPACE, "web", app_spec(""), now=NOW)
    )
    assert stale == set()


async def test_the_name_of_an_app_is_given_once(store: Store) -> None:
    await store.write(lambda tx: apps.create_app(tx, NAMESPACE, "web", app_spec(), now=NOW))
    with pytest.raises(InUse) as caught:
        await store.write(lambda tx: apps.create_app(tx, NAMESPACE, "web", app_spec(), now=NOW))
    assert (caught.value.kind, caught.value.name) == ("app", "web")


@pytest.mark.parametrize("name", ["", "Web", "a/b", "my-baetyl-app", "w" * 64])
async def test_a_bad_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await store.write(lambda tx: apps.create_app(tx, NAMESPACE, name, app_spec(), now=NOW))
    assert caught.value.field == "name"


async def test_putting_the_same_app_twice_changes_nothing(store: Store) -> None:
    def prepare(tx: Transaction) -> App:
        add_nodes(tx, n1="gateway")
        return apps.create_app(tx, NAMESPACE, "web", app_spec(), now=NOW)

    created = await store.write(prepare)

    def put(tx: Transaction) -> None:
        assert apps.update_app(tx, NAMESPACE, "web", app_spec(), now=LATER) == created

    assert await stale_after(store, put) == set()


async def test_a_changed_app_has_a_higher_version_and_reaches_its_nodes(store: Store) -> None:
    def prepare(tx: Transaction) -> App:
        add_nodes(tx, n1="gateway", n2="camera")
        return apps.create_app(tx, NAMESPACE, "web", app_spec(), now=NOW)

    before = await store.write(prepare)

    def put(tx: Transaction) -> None:
        after = apps.update_app(tx, NAMESPACE, "web", app_spec(image="nginx:2"), now=LATER)
        assert _version(after) > _version(before)
        assert (after.created, after.updated) == (NOW, LATER)

    assert await stale_after(store, put) == {"n1"}


async def test_moving_an_app_reaches_those_it_leaves_and_those_it_goes_to(store: Store) -> None:
    def prepare(tx: Transaction) -> None:
        add_nodes(tx, n1="gateway", n2="camera", n3="printer")
        apps.create_app(tx, NAMESPACE, "web", app_spec(), now=NOW)

    await store.write(prepare)
    spec = app_spec("role=camera")
    stale = await stale_after(
        store, lambda tx: apps.update_app(tx, NAMESPACE, "web", spec, now=LATER)
    )
    assert stale == {"n1", "n2"}


async def test_deleting_an_app_reaches_its_nodes(store: Store) -> None:
    def prepare(tx: Transaction) -> None:
        add_nodes(tx, n1="gateway", n2="camera")
        apps.create_app(tx, NAMESPACE, "web", app_spec(), now=NOW)

    await store.write(prepare)
    assert await stale_after(store, lambda tx: apps.delete_app(tx, NAMESPACE, "web")) == {"n1"}
    with pytest.raises(NotFound):
        await store.read(lambda tx: apps.existing_app(tx, NAMESPACE, "web"))


async def test_a_deleted_app_made_again_has_a_higher_version(store: Store) -> None:
    def again(tx: Transaction) -> tuple[App, App]:
        first = apps.create_app(tx, NAMESPACE, "web", app_spec(), now=NOW)
        apps.delete_app(tx, NAMESPACE, "web")
        return first, apps.create_app(tx, NAMESPACE, "web", app_spec(), now=NOW)

    first, second = await store.write(again)
    assert _version(second) > _version(first)


@pytest.mark.parametrize(
    ("spec", "kind", "name"),
    [
        (app_spec(configs=["missing"]), "config", "missing"),
        (app_spec(secrets=["missing"]), "secret", "missing"),
        (app_spec(registries=["missing"]), "registry", "missing"),
    ],
)
async def test_what_an_app_uses_has_to_be_there(
    store: Store, spec: AppSpec, kind: str, name: str
) -> None:
    def prepare(tx: Transaction) -> None:
        configs.create_config(tx, "other", "missing", config_spec(), now=NOW)
        apps.create_app(tx, NAMESPACE, "web", app_spec(), now=NOW)

    await store.write(prepare)
    for work in (
        lambda tx: apps.create_app(tx, NAMESPACE, "new", spec, now=NOW),
        lambda tx: apps.update_app(tx, NAMESPACE, "web", spec, now=NOW),
    ):
        with pytest.raises(NotFound) as caught:
            await store.write(work)
        assert (caught.value.kind, caught.value.name) == (kind, name)


async def test_nothing_is_kept_of_an_app_that_cannot_run(store: Store) -> None:
    with pytest.raises(Invalid) as caught:
        await store.write(
            lambda tx: apps.create_app(tx, NAMESPACE, "web", app_spec("a=(b"), now=NOW)
        )
    assert caught.value.field == "selector"
    page = await store.read(lambda tx: apps.list_apps(tx, NAMESPACE, ListOptions()))
    assert page.total == 0


async def test_a_changed_config_or_secret_rolls_every_app_that_uses_it(store: Store) -> None:
    def prepare(tx: Transaction) -> dict[str, App]:
        add_nodes(tx, n1="gateway", n2="camera", n3="printer")
        configs.create_config(tx, NAMESPACE, "c", config_spec("one"), now=NOW)
        secrets.create_secret(tx, NAMESPACE, "s", SecretSpec({"k": "one"}), now=NOW)
        for name, spec in {
            "both": app_spec("role=gateway", configs=["c"], secrets=["s"]),
            "secret": app_spec("role=camera", secrets=["s"]),
            "neither": app_spec("role=printer"),
        }.items():
            apps.create_app(tx, NAMESPACE, name, spec, now=NOW)
        return {app.name: app for app in tx.resources(App, NAMESPACE)}

    before = await store.write(prepare)

    def change_config(tx: Transaction) -> None:
        configs.update_config(tx, NAMESPACE, "c", config_spec("two"), now=LATER)

    def change_secret(tx: Transaction) -> None:
        secrets.update_secret(tx, NAMESPACE, "s", SecretSpec({"k": "two"}), now=LATER)

    assert await stale_after(store, change_config) == {"n1"}
    between = {app.name: app for app in await store.read(lambda tx: tx.resources(App, NAMESPACE))}
    assert _version(between["both"]) > _version(before["both"])
    assert between["both"].spec == before["both"].spec
    assert {name: between[name] for name in ("secret", "neither")} == {
        name: before[name] for name in ("secret", "neither")
    }
    assert await stale_after(store, change_secret) == {"n1", "n2"}
    after = {app.name: app for app in await store.read(lambda tx: tx.resources(App, NAMESPACE))}
    assert _version(after["both"]) > _version(between["both"])
    assert _version(after["secret"]) > _version(between["secret"])
    assert after["neither"] == before["neither"]


async def test_the_users_of_a_resource_are_listed(store: Store) -> None:
    def prepare(tx: Transaction) -> list[str]:
        configs.create_config(tx, NAMESPACE, "c", config_spec(), now=NOW)
        apps.create_app(tx, NAMESPACE, "a", app_spec(configs=["c"]), now=NOW)
        apps.create_app(tx, NAMESPACE, "b", app_spec(), now=NOW)
        page = apps.list_apps_using(tx, NAMESPACE, CONFIG, "c", ListOptions())
        return [app.name for app in page.items]

    assert await store.write(prepare) == ["a"]


SELECTORS = ["", "role=gateway", "role!=gateway", "role in (camera,printer)", "!role", "role"]
ROLES = ["gateway", "camera", "printer", ""]
NAMES = ["a", "b"]

changes = st.lists(
    st.one_of(
        st.tuples(
            st.just("put app"),
            st.sampled_from(NAMES),
            st.sampled_from(SELECTORS),
            st.sampled_from([(), ("a",), ("a", "b")]),
        ),
        st.tuples(st.just("delete app"), st.sampled_from(NAMES)),
        st.tuples(st.just("put config"), st.sampled_from(NAMES), st.sampled_from(["1", "2"])),
        st.tuples(st.just("delete config"), st.sampled_from(NAMES)),
        st.tuples(st.just("put node"), st.sampled_from(NAMES), st.sampled_from(ROLES)),
        st.tuples(st.just("delete node"), st.sampled_from(NAMES)),
    ),
    min_size=1,
    max_size=12,
)
namespaces = count()


def _apply(tx: Transaction, namespace: str, change: tuple[str, ...]) -> None:
    """Do one change, as far as the rules let it."""
    match change:
        case ("put app", name, selector, used):
            spec = app_spec(selector, configs=used)
            known = tx.app(namespace, name)
            (apps.update_app if known else apps.create_app)(tx, namespace, name, spec, now=NOW)
        case ("delete app", name):
            apps.delete_app(tx, namespace, name)
        case ("put config", name, text):
            known_config = tx.config(namespace, name)
            put = configs.update_config if known_config else configs.create_config
            put(tx, namespace, name, config_spec(text), now=NOW)
        case ("delete config", name):
            configs.delete_config(tx, namespace, name)
        case ("put node", name, role):
            labels = {"role": role} if role else {}
            known_node = tx.node(namespace, name)
            act = nodes.update_node if known_node else nodes.create_node
            act(tx, namespace, name, NodeSpec(labels=labels), now=NOW)
        case ("delete node", name):
            nodes.delete_node(tx, namespace, name, now=NOW)
        case _:
            raise AssertionError(change)


def _wanted(tx: Transaction, namespace: str) -> dict[str, object]:
    """What each node should run, computed from nothing that is remembered."""
    return {
        node.name: desired_state(node.labels, tx.resources(App, namespace))
        for node in tx.nodes(namespace)
    }


def _content(tx: Transaction, namespace: str) -> bytes:
    return msgspec.json.encode(
        (tx.resources(App, namespace), tx.resources(Config, namespace), tx.nodes(namespace)),
        order="sorted",
    )


@given(changes=changes)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
async def test_every_node_whose_desired_state_changed_is_marked_stale(
    store: Store, changes: list[tuple[str, ...]]
) -> None:
    namespace = f"n{next(namespaces)}"
    for change in changes:

        def step(tx: Transaction, change: tuple[str, ...] = change) -> None:
            tx.take_pending(10_000)
            before = _wanted(tx, namespace)
            _apply(tx, namespace, change)
            after = _wanted(tx, namespace)
            changed = {name for name, wanted in after.items() if wanted != before.get(name)}
            stale = {name for _, name in tx.take_pending(10_000)}
            assert changed <= stale
            catalog = tx.catalog(namespace)
            for node in tx.nodes(namespace):
                assert catalog.desired_state(node.labels) == after[node.name]

        try:
            await store.write(step)
        except CloudError:
            continue


@given(changes=changes)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
async def test_the_same_put_twice_is_one_version_and_marks_no_node(
    store: Store, changes: list[tuple[str, ...]]
) -> None:
    namespace = f"n{next(namespaces)}"
    for change in changes:

        def step(tx: Transaction, change: tuple[str, ...] = change) -> None:
            _apply(tx, namespace, change)
            if change[0].startswith("put"):
                tx.take_pending(10_000)
                before = _content(tx, namespace)
                _apply(tx, namespace, change)
                assert _content(tx, namespace) == before
                assert not tx.take_pending(10_000)

        try:
            await store.write(step)
        except CloudError:
            continue
