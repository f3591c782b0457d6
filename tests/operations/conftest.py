"""A store, and the words in which the tests of this folder speak to it."""

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from cloud.core.app import AppSpec, Ref, Service, Volume
from cloud.core.config import ConfigItem, ConfigSpec, KeyValue
from cloud.core.node import NodeSpec
from cloud.operations.nodes import create_node
from cloud.store.transaction import Store, Transaction
from tests.conftest import StoreFactory

T = TypeVar("T")

NAMESPACE = "default"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
async def store(open_again: StoreFactory, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_again(tmp_path) as opened:
        yield opened


@pytest.fixture
def new_id() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"id{next(numbers)}"


def app_spec(
    selector: str = "role=gateway",
    *,
    configs: Iterable[str] = (),
    secrets: Iterable[str] = (),
    registries: Iterable[str] = (),
    image: str = "nginx:1",
) -> AppSpec:
    """One service, and a volume for each config and secret."""
    return AppSpec(
        selector=selector,
        services=(Service("web", image=image),),
        volumes=(
            *(Volume(f"c-{name}", config=Ref(name)) for name in configs),
            *(Volume(f"s-{name}", secret=Ref(name)) for name in secrets),
        ),
        registries=tuple(Ref(name) for name in registries),
    )


def config_spec(text: str = "one") -> ConfigSpec:
    return ConfigSpec(data=(ConfigItem("a.conf", KeyValue(text)),))


def add_nodes(tx: Transaction, **roles: str) -> None:
    """Nodes by name, each with its label `role`; nothing is stale afterwards."""
    for name, role in roles.items():
        create_node(tx, NAMESPACE, name, NodeSpec(labels={"role": role}), now=NOW)
    tx.take_pending(10_000)


async def stale_after(store: Store, work: Callable[[Transaction], object]) -> set[str]:
    """Names of the nodes that *work* marks stale."""

    def run(tx: Transaction) -> set[str]:
        tx.take_pending(10_000)
        work(tx)
        return {name for _, name in tx.take_pending(10_000)}

    return await store.write(run)
