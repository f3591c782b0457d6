"""The stores the contract is tried on, and a few nouns to put into them."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from cloud.core.app import App, AppSpec
from cloud.core.batch import Batch, BatchSpec, Record
from cloud.core.config import Config, ConfigItem, ConfigSpec, KeyValue
from cloud.core.node import Node, NodeSpec
from cloud.core.registry import Registry, RegistrySpec
from cloud.core.report import Order, Report, read_report
from cloud.core.secret import Secret, SecretSpec
from cloud.errors import Unavailable
from cloud.store.transaction import Store
from tests.conftest import StoreFactory
from tests.deadlines import UNIT

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = NOW + timedelta(seconds=20)


WAIT = 20 * UNIT
"""Seconds a test waits for what has to happen."""

T = TypeVar("T")


class Refused(Exception):
    """What work raises in tests."""


async def result_of(answer: Awaitable[T]) -> T:
    """As a task wants it."""
    return await answer


@contextlib.contextmanager
def unavailable(because: str) -> Iterator[None]:
    """Something that is Unavailable, for a reason in which *because* stands."""
    with pytest.raises(Unavailable) as caught:
        yield
    assert because in caught.value.reason


@pytest.fixture
async def store(open_again: StoreFactory, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_again(tmp_path) as opened:
        yield opened


def node(name: str = "n", namespace: str = "default", *, created: datetime = NOW) -> Node:
    return Node(namespace, name, NodeSpec({"role": "gateway"}), created, created)


def app(name: str = "web", namespace: str = "default", *, version: str = "1") -> App:
    return App(namespace, name, AppSpec(selector="role=gateway"), version, NOW, NOW)


def config(name: str = "conf", text: str = "text") -> Config:
    spec = ConfigSpec(data=(ConfigItem("a.conf", KeyValue(text)),))
    return Config("default", name, spec, "1", NOW, NOW)


def secret(name: str = "password", text: str = "open sesame") -> Secret:
    return Secret("default", name, SecretSpec({"password": text}), "1", NOW, NOW)


def registry(name: str = "registry", text: str = "open sesame") -> Registry:
    spec = RegistrySpec("registry.example.com", "a-user", text)
    return Registry("default", name, spec, "1", NOW, NOW)


def batch(name: str = "b", key: str = "the token", namespace: str = "default") -> Batch:
    return Batch(namespace, name, BatchSpec(security_key=key), NOW, NOW)


def record(name: str = "r", fingerprint: str = "SN-1", *, batch: str = "b") -> Record:
    return Record("default", batch, name, fingerprint, "n", NOW, NOW)


def report(order: Order | None = None, **content: object) -> Report:
    return read_report(content, order or Order())
