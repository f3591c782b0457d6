"""What people do with configs."""

import pytest

from cloud.core.config import Config, ConfigItem, ConfigSpec, KeyValue
from cloud.core.listing import ListOptions
from cloud.errors import InUse, Invalid, NotFound
from cloud.operations import apps, configs
from cloud.store.transaction import Store, Transaction
from tests.operations.conftest import LATER, NAMESPACE, NOW, app_spec, config_spec


async def test_the_name_of_a_config_is_given_once(store: Store) -> None:
    def create(tx: Transaction) -> Config:
        return configs.create_config(tx, NAMESPACE, "c", config_spec(), now=NOW)

    await store.write(create)
    with pytest.raises(Invalid) as caught:
        await store.write(create)
    assert caught.value.field == "name"


@pytest.mark.parametrize("name", ["", "C", "baetyl-x"])
async def test_a_bad_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await store.write(
            lambda tx: configs.create_config(tx, NAMESPACE, name, config_spec(), now=NOW)
        )
    assert caught.value.field == "name"


async def test_putting_the_same_config_twice_changes_nothing(store: Store) -> None:
    def twice(tx: Transaction) -> tuple[Config, Config]:
        first = configs.create_config(tx, NAMESPACE, "c", config_spec(), now=NOW)
        return first, configs.update_config(tx, NAMESPACE, "c", config_spec(), now=LATER)

    first, second = await store.write(twice)
    assert first == second


async def test_any_change_of_content_is_a_new_version(store: Store) -> None:
    def change(tx: Transaction) -> list[Config]:
        return [
            configs.create_config(tx, NAMESPACE, "c", config_spec(), now=NOW),
            configs.update_config(tx, NAMESPACE, "c", config_spec("two"), now=LATER),
            configs.update_config(tx, NAMESPACE, "c", ConfigSpec(labels={"a": "b"}), now=LATER),
            configs.update_config(tx, NAMESPACE, "c", ConfigSpec(description="x"), now=LATER),
        ]

    versions = [int(config.version) for config in await store.write(change)]
    assert versions == sorted(set(versions))


async def test_a_config_in_use_stays_and_its_users_are_named(store: Store) -> None:
    def prepare(tx: Transaction) -> None:
        configs.create_config(tx, NAMESPACE, "c", config_spec(), now=NOW)
        for number in range(12):
            apps.create_app(tx, NAMESPACE, f"app-{number}", app_spec(configs=["c"]), now=NOW)

    await store.write(prepare)
    with pytest.raises(InUse) as caught:
        await store.write(lambda tx: configs.delete_config(tx, NAMESPACE, "c"))
    assert (caught.value.kind, caught.value.name) == ("config", "c")
    assert "app-0" in caught.value.users
    assert caught.value.users.count(",") == 10
    assert await store.read(lambda tx: tx.config(NAMESPACE, "c")) is not None


async def test_an_unused_config_is_deleted(store: Store) -> None:
    def come_and_go(tx: Transaction) -> None:
        configs.create_config(tx, NAMESPACE, "c", config_spec(), now=NOW)
        apps.create_app(tx, NAMESPACE, "a", app_spec(configs=["c"]), now=NOW)
        apps.delete_app(tx, NAMESPACE, "a")
        configs.delete_config(tx, NAMESPACE, "c")

    await store.write(come_and_go)
    for work in (
        lambda tx: configs.existing_config(tx, NAMESPACE, "c"),
        lambda tx: configs.update_config(tx, NAMESPACE, "c", config_spec(), now=NOW),
        lambda tx: configs.delete_config(tx, NAMESPACE, "c"),
    ):
        with pytest.raises(NotFound) as caught:
            await store.write(work)
        assert (caught.value.kind, caught.value.name) == ("config", "c")


async def test_a_file_name_that_leads_elsewhere_is_refused(store: Store) -> None:
    spec = ConfigSpec(data=(ConfigItem("../passwd", KeyValue("x")),))
    with pytest.raises(Invalid) as caught:
        await store.write(lambda tx: configs.create_config(tx, NAMESPACE, "c", spec, now=NOW))
    assert caught.value.field == "data[0].key"


async def test_configs_are_listed_by_label(store: Store) -> None:
    def prepare(tx: Transaction) -> list[str]:
        for name, labels in (("a", {"kind": "x"}), ("b", {})):
            configs.create_config(tx, NAMESPACE, name, ConfigSpec(labels=labels), now=NOW)
        page = configs.list_configs(tx, NAMESPACE, ListOptions(selector="kind=x"))
        return [config.name for config in page.items]

    assert await store.write(prepare) == ["a"]
