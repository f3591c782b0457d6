"""What people do with secrets."""

import pytest

from cloud.core.listing import ListOptions
from cloud.core.secret import Secret, SecretSpec
from cloud.errors import InUse, Invalid, NotFound
from cloud.operations import apps, secrets
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW, app_spec

SPEC = SecretSpec({"password": "öpen"}, "first")


async def test_the_name_of_a_secret_is_given_once(store: Store) -> None:
    def create(tx: Transaction) -> Secret:
        return secrets.create_secret(tx, NAMESPACE, "s", SPEC, now=NOW)

    await store.write(create)
    with pytest.raises(Invalid) as caught:
        await store.write(create)
    assert caught.value.field == "name"


@pytest.mark.parametrize("name", ["", "S", "baetyl-x"])
async def test_a_bad_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await store.write(lambda tx: secrets.create_secret(tx, NAMESPACE, name, SPEC, now=NOW))
    assert caught.value.field == "name"


async def test_putting_the_same_secret_twice_changes_nothing(store: Store) -> None:
    first = await store.write(lambda tx: secrets.create_secret(tx, NAMESPACE, "s", SPEC, now=NOW))
    second = await store.write(
        lambda tx: secrets.update_secret(tx, NAMESPACE, "s", SPEC, now=LATER)
    )
    assert first == second
    assert second.spec.data == {"password": "öpen"}


async def test_any_change_of_content_is_a_new_version(store: Store) -> None:
    def change(tx: Transaction) -> list[Secret]:
        return [
            secrets.create_secret(tx, NAMESPACE, "s", SPEC, now=NOW),
            secrets.update_secret(tx, NAMESPACE, "s", SecretSpec({"k": "v"}), now=LATER),
            secrets.update_secret(tx, NAMESPACE, "s", SecretSpec({"k": "v"}, "x"), now=LATER),
        ]

    versions = [int(secret.version) for secret in await store.write(change)]
    assert versions == sorted(set(versions))


async def test_a_secret_in_use_stays_and_its_user_is_named(store: Store) -> None:
    def prepare(tx: Transaction) -> None:
        secrets.create_secret(tx, NAMESPACE, "s", SPEC, now=NOW)
        apps.create_app(tx, NAMESPACE, "web", app_spec(secrets=["s"]), now=NOW)

    await store.write(prepare)
    with pytest.raises(InUse) as caught:
        await store.write(lambda tx: secrets.delete_secret(tx, NAMESPACE, "s"))
    assert (caught.value.kind, caught.value.name) == ("secret", "s")
    assert "web" in caught.value.users


async def test_an_unused_secret_is_deleted(store: Store) -> None:
    def come_and_go(tx: Transaction) -> None:
        secrets.create_secret(tx, NAMESPACE, "s", SPEC, now=NOW)
        secrets.delete_secret(tx, NAMESPACE, "s")

    await store.write(come_and_go)
    for work in (
        lambda tx: secrets.existing_secret(tx, NAMESPACE, "s"),
        lambda tx: secrets.update_secret(tx, NAMESPACE, "s", SPEC, now=NOW),
        lambda tx: secrets.delete_secret(tx, NAMESPACE, "s"),
    ):
        with pytest.raises(NotFound) as caught:
            await store.write(work)
        assert (caught.value.kind, caught.value.name) == ("secret", "s")


async def test_secrets_are_selected_by_the_label_all_of_them_have(store: Store) -> None:
    def prepare(tx: Transaction) -> list[int]:
        secrets.create_secret(tx, NAMESPACE, "s", SPEC, now=NOW)
        return [
            secrets.list_secrets(tx, NAMESPACE, ListOptions(selector=selector)).total
            for selector in ("secret-type=config", "secret-type=registry")
        ]

    assert await store.write(prepare) == [1, 0]
