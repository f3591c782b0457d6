"""What every store promises of deploys, properties and system apps."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.core.app import AppVersion
from cloud.core.core_configuration import CoreConfiguration, Mode
from cloud.core.deploys import Deploy, DeployOutcome
from cloud.core.properties import NO_PROPERTIES
from cloud.core.system_apps import (
    Module,
    SystemApps,
    SystemAppsSpec,
    SystemModule,
    listed_anew,
)
from cloud.errors import NotFound
from cloud.store.transaction import Store, Transaction
from tests.conftest import StoreFactory
from tests.store.conftest import LATER, NOW, node

KEY = ("default", "n")


def deploy(number: int) -> Deploy:
    return Deploy(number, NOW, LATER, (AppVersion("web", str(number)),))


async def test_deploys_are_kept_the_newest_first(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.put_node(node())
        assert tx.deploys(*KEY) == []
        assert tx.open_deploy(*KEY) is None
        for number in (1, 2, 3):
            tx.put_deploy(*KEY, deploy(number), is_open=True)
        assert list(tx.deploys(*KEY)) == [deploy(3), deploy(2), deploy(1)]
        assert list(tx.deploys(*KEY, 1)) == [deploy(3)]
        tx.delete_old_deploys(*KEY, 1)
        assert list(tx.deploys(*KEY)) == [deploy(3), deploy(2)]

    await store.write(work)


async def test_one_deploy_is_open_until_it_is_not(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_deploy(*KEY, deploy(1), is_open=True)
        assert tx.open_deploy(*KEY) == deploy(1)
        tx.put_node(replace(node(), mode=Mode.LOCAL))
        assert tx.open_deploy(*KEY) == deploy(1)
        reporter = tx.reporter(*KEY)
        assert reporter is not None
        assert reporter.has_open_deploy
        done = replace_outcome(deploy(1))
        tx.put_deploy(*KEY, done, is_open=False)
        assert tx.open_deploy(*KEY) is None
        assert list(tx.deploys(*KEY)) == [done]

    await store.write(work)


def replace_outcome(deploy: Deploy) -> Deploy:
    return Deploy(
        deploy.number,
        deploy.wanted,
        deploy.sent,
        deploy.apps,
        acknowledged=LATER,
        ended=LATER + timedelta(microseconds=1),
        outcome=DeployOutcome.FAILED,
        cause="web: öops",
    )


async def test_deploys_and_properties_go_with_their_node(store: Store) -> None:
    wanted = NO_PROPERTIES.desiring({"a": "1"}, NOW).reporting({"b": [2]}, LATER)

    def work(tx: Transaction) -> None:
        tx.put_node(node())
        tx.put_deploy(*KEY, deploy(1), is_open=True)
        tx.put_properties(*KEY, wanted)
        assert tx.properties(*KEY) == wanted
        tx.delete_node(*KEY)
        assert tx.deploys(*KEY) == []
        assert tx.properties(*KEY) == NO_PROPERTIES
        tx.put_node(node())
        assert tx.open_deploy(*KEY) is None
        assert tx.properties(*KEY) == NO_PROPERTIES

    await store.write(work)
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.put_properties("default", "other", wanted))
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.put_deploy("default", "other", deploy(1), is_open=False))


async def test_how_an_agent_works_is_kept_with_its_node(store: Store) -> None:
    core = CoreConfiguration("v2", frequency=60, apiport=30060)
    put = replace(node(), mode=Mode.LOCAL, core=core)
    await store.write(lambda tx: tx.put_node(put))
    assert await store.read(lambda tx: tx.node(*KEY)) == put


async def test_system_apps_are_a_part_of_the_catalog(
    open_again: StoreFactory, tmp_path: Path
) -> None:
    spec = SystemAppsSpec((SystemModule(Module.BROKER, "broker", "password: sesame"),))
    system = SystemApps("default", listed_anew(None, spec), "7", NOW)

    def put(tx: Transaction) -> None:
        assert tx.catalog("default").system is None
        tx.put_system_apps(system)
        assert tx.catalog("default").system == system

    async with open_again(tmp_path) as store:
        await store.write(put)
        assert await store.read(lambda tx: tx.catalog("default").system) == system
        assert await store.read(lambda tx: tx.system_apps("other")) is None
    async with open_again(tmp_path) as store:
        assert await store.read(lambda tx: tx.system_apps("default")) == system
    if (file := tmp_path / "edgesync.db").exists():
        assert b"sesame" not in file.read_bytes()


async def test_when_init_reported_last_goes_with_its_node(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.put_node(node())
        assert tx.init_heard(*KEY) is None
        for moment in (NOW, LATER):
            tx.put_init_heard(*KEY, moment)
            assert tx.init_heard(*KEY) == moment
        assert tx.init_heard("other", "n") is None
        tx.delete_node(*KEY)
        tx.put_node(node())
        assert tx.init_heard(*KEY) is None

    await store.write(work)
