"""What people do with registries."""

from functools import partial

import pytest

from cloud.core.app import App
from cloud.core.listing import ListOptions
from cloud.core.registry import Registry, RegistrySpec
from cloud.core.secret import Secret, SecretSpec
from cloud.errors import InUse, Invalid, NotFound
from cloud.operations import apps, registries, secrets
from cloud.operations.registries import RegistryChange
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW, add_nodes, app_spec, stale_after

SPEC = RegistrySpec("hub.example.com", "puller", "open sesame", "images")


def create(tx: Transaction, name: str = "hub") -> Registry:
    return registries.create_registry(tx, NAMESPACE, name, SPEC, now=NOW)


def describe(tx: Transaction, change: RegistryChange) -> Registry:
    return registries.describe_registry(tx, NAMESPACE, "hub", change, now=LATER)


def refresh(tx: Transaction, password: str) -> Registry:
    return registries.refresh_registry(tx, NAMESPACE, "hub", password, now=LATER)


def put_in_use(tx: Transaction) -> App:
    """A registry, one app that uses it, one that does not, and a node for each."""
    create(tx)
    add_nodes(tx, n1="gateway", n2="camera")
    apps.create_app(tx, NAMESPACE, "other", app_spec("role=camera"), now=NOW)
    return apps.create_app(tx, NAMESPACE, "web", app_spec(registries=["hub"]), now=NOW)


async def test_the_name_of_a_registry_is_given_once(store: Store) -> None:
    await store.write(create)
    with pytest.raises(Invalid) as caught:
        await store.write(create)
    assert caught.value.field == "name"


async def test_a_registry_and_a_secret_cannot_share_a_name(store: Store) -> None:
    def secret(tx: Transaction, name: str) -> None:
        secrets.create_secret(tx, NAMESPACE, name, SecretSpec({"k": "v"}), now=NOW)

    await store.write(create)
    await store.write(lambda tx: secret(tx, "password"))
    for work in (lambda tx: secret(tx, "hub"), lambda tx: create(tx, "password")):
        with pytest.raises(Invalid) as caught:
            await store.write(work)
        assert caught.value.field == "name"


async def test_a_registry_is_no_secret_and_the_other_way_round(store: Store) -> None:
    await store.write(create)
    with pytest.raises(NotFound):
        await store.read(lambda tx: secrets.existing_secret(tx, NAMESPACE, "hub"))
    with pytest.raises(NotFound):
        await store.write(lambda tx: secrets.delete_secret(tx, NAMESPACE, "hub"))
    assert not await store.read(lambda tx: tx.resources(Secret, NAMESPACE))


@pytest.mark.parametrize("name", ["", "Hub", "baetyl-x"])
async def test_a_bad_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await store.write(lambda tx: create(tx, name))
    assert caught.value.field == "name"


async def test_only_the_description_can_be_changed(store: Store) -> None:
    await store.write(create)
    for change in (
        RegistryChange("images", address="elsewhere.example.com"),
        RegistryChange("images", username="a-user"),
        RegistryChange("images", password="guessed"),
    ):
        with pytest.raises(Invalid) as caught:
            await store.write(partial(describe, change=change))
        assert caught.value.field in {"address", "username", "password"}
        assert "guessed" not in str(caught.value)
    after = await store.write(
        lambda tx: describe(tx, RegistryChange("new", SPEC.address, SPEC.username, SPEC.password))
    )
    assert after.spec.description == "new"


async def test_a_description_reaches_no_node(store: Store) -> None:
    app = await store.write(put_in_use)

    def change(tx: Transaction) -> None:
        describe(tx, RegistryChange("new"))
        assert tx.app(NAMESPACE, "web") == app

    assert await stale_after(store, change) == set()


async def test_another_password_rolls_the_apps_that_use_the_registry(store: Store) -> None:
    before = await store.write(put_in_use)

    def change(tx: Transaction) -> None:
        other = tx.app(NAMESPACE, "other")
        registry = refresh(tx, "new")
        after = apps.existing_app(tx, NAMESPACE, "web")
        assert int(after.version) > int(registry.version) > int(before.version)
        assert tx.app(NAMESPACE, "other") == other

    assert await stale_after(store, change) == {"n1"}


async def test_what_is_as_it_was_changes_nothing(store: Store) -> None:
    await store.write(put_in_use)
    before = await store.read(lambda tx: registries.existing_registry(tx, NAMESPACE, "hub"))

    def again(tx: Transaction) -> None:
        assert describe(tx, RegistryChange(SPEC.description)) == before
        assert refresh(tx, SPEC.password) == before

    assert await stale_after(store, again) == set()


@pytest.mark.parametrize("password", ["", " "])
async def test_an_empty_password_is_refused(store: Store, password: str) -> None:
    await store.write(create)
    with pytest.raises(Invalid) as caught:
        await store.write(lambda tx: refresh(tx, password))
    assert caught.value.field == "password"


async def test_a_registry_in_use_stays_and_its_user_is_named(store: Store) -> None:
    await store.write(put_in_use)
    with pytest.raises(InUse) as caught:
        await store.write(lambda tx: registries.delete_registry(tx, NAMESPACE, "hub"))
    assert (caught.value.kind, caught.value.name) == ("registry", "hub")
    assert "web" in caught.value.users


async def test_an_unused_registry_is_deleted(store: Store) -> None:
    def come_and_go(tx: Transaction) -> None:
        create(tx)
        registries.delete_registry(tx, NAMESPACE, "hub")

    await store.write(come_and_go)
    for work in (
        lambda tx: registries.existing_registry(tx, NAMESPACE, "hub"),
        lambda tx: describe(tx, RegistryChange("x")),
        lambda tx: refresh(tx, "x"),
        lambda tx: registries.delete_registry(tx, NAMESPACE, "hub"),
    ):
        with pytest.raises(NotFound) as caught:
            await store.write(work)
        assert (caught.value.kind, caught.value.name) == ("registry", "hub")


async def test_registries_are_listed_and_their_versions_are_known_to_apps(store: Store) -> None:
    app = await store.write(put_in_use)
    page = await store.read(lambda tx: registries.list_registries(tx, NAMESPACE, ListOptions()))
    versions = await store.read(lambda tx: registries.registry_versions(tx, app))
    assert versions == {registry.name: registry.version for registry in page.items}
    assert list(versions) == ["hub"]
