"""Values that are read when nodes get them, and the versions that follow from them."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud.core.app import AppSpec, Ref, Volume
from cloud.core.audit import AuditFilter
from cloud.core.kinds import APP, SECRET
from cloud.core.node import NodeSpec
from cloud.core.objects import cannot_sign
from cloud.core.secret import SecretSpec
from cloud.core.secret_source import SecretSource
from cloud.errors import SecretsUnread, SecretUnreadable
from cloud.jobs.secret_values import FAILURE_HELD, HELD, SecretValues
from cloud.jobs.source_reader import SourceReader
from cloud.operations.apps import create_app
from cloud.operations.audit import list_entries
from cloud.operations.desires import Info, InfoKind, deliver
from cloud.operations.nodes import create_node
from cloud.operations.secret_sources import delivered_secret
from cloud.operations.secrets import create_secret, update_secret
from cloud.store.transaction import Store, Transaction
from tests.conftest import StoreFactory

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SPEC = SecretSpec({"user": "app"}, data_from={"password": SecretSource(file="password")})
USES = AppSpec(selector="role=till", volumes=(Volume("s", secret=Ref("db")),))


class SourceClock:
    """Time as a test wants it, in seconds and as a date."""

    seconds = 0.0

    def timer(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)


@dataclass
class SourceWorld:
    """A secret that a file has the password of, an app that uses it, and a node that runs that."""

    store: Store
    directory: Path
    clock: SourceClock
    values: SecretValues

    @property
    def file(self) -> Path:
        return self.directory / "sources" / "default" / "password"

    def another_server(self, **options: Any) -> SecretValues:
        """What another server on the same database holds."""
        reader = SourceReader(self.directory / "sources")
        clock = self.clock
        given: dict[str, Any] = {"new_salt": lambda: "salt", "every": timedelta(minutes=5)}
        return SecretValues(self.store, reader, clock.now, clock.timer, **given, **options)

    async def body(self, values: SecretValues | None = None) -> dict[str, Any]:
        """The body that the node gets; it is read where it has to be."""
        values = values or self.values
        try:
            return await self.body_now(values)
        except SecretsUnread as error:
            await values.read(error.secrets)
        return await self.body_now(values)

    async def body_now(self, values: SecretValues | None = None) -> dict[str, Any]:
        values_of = (values or self.values).values_of

        def work(tx: Transaction) -> dict[str, Any]:
            infos = [Info(InfoKind.SECRET, "db")]
            found = deliver(tx, "default.till", infos, presign=cannot_sign, values_of=values_of)
            [entry] = found.content["values"]
            data = entry["value"]["data"]
            texts = {key: base64.b64decode(text).decode() for key, text in data.items()}
            return {"version": entry["version"], **texts}

        return await self.store.read(work)

    async def versions(self) -> tuple[str, str]:
        """Those of the secret, and of the app."""
        return await self.store.read(
            lambda tx: (
                tx.resource_version(SECRET, "default", "db"),
                tx.resource_version(APP, "default", "web"),
            )
        )


@pytest.fixture
async def world(open_again: StoreFactory, tmp_path: Path) -> AsyncIterator[SourceWorld]:
    def fill(tx: Transaction) -> None:
        create_secret(tx, "default", "db", SPEC, now=NOW)
        create_app(tx, "default", "web", USES, now=NOW, runtimes={})
        create_node(tx, "default", "till", NodeSpec({"role": "till"}), now=NOW)

    async with open_again(tmp_path) as store:
        await store.write(fill)
        clock = SourceClock()
        world = SourceWorld(store, tmp_path, clock, None)  # type: ignore[arg-type]
        world.file.parent.mkdir(parents=True)
        world.file.write_text("first-value")
        world.values = world.another_server()
        yield world


async def test_a_value_is_read_when_a_node_gets_it(world: SourceWorld) -> None:
    before = await world.versions()
    with pytest.raises(SecretsUnread):
        await world.body_now()
    body = await world.body()
    assert body == {"version": before[0], "user": "app", "password": "first-value"}
    assert await world.versions() == before


async def test_another_value_makes_a_new_version_once(world: SourceWorld) -> None:
    first = await world.body()
    old_app = (await world.versions())[1]
    world.file.write_text("second-value")
    assert await world.body() == first  # held
    world.clock.seconds += HELD.total_seconds()
    second = await world.body()
    assert second["password"] == "second-value"
    assert int(second["version"]) > int(first["version"])
    assert (await world.versions())[1] != old_app
    for _ in range(2):
        world.clock.seconds += HELD.total_seconds()
        await world.values.read_all()
    assert await world.body() == second

    def seen(tx: Transaction) -> list[str]:
        entries = list_entries(tx, AuditFilter("default"), limit=0, after=None).page.items
        return [one.entry.attempt.action for one in entries]

    assert (await world.store.read(seen)).count("secret.refresh") == 1


async def test_a_change_is_found_without_a_node(world: SourceWorld) -> None:
    await world.values.read_all()
    before = await world.versions()
    world.file.write_text("second-value")
    await world.values.read_all()
    assert (await world.versions())[0] != before[0]


async def test_a_new_secret_is_read_without_a_node_and_once(world: SourceWorld) -> None:
    assert await world.store.read(lambda tx: tx.new_sourced_secrets()) == [("default", "db")]
    await world.values.read_new()
    assert not await world.store.read(lambda tx: tx.new_sourced_secrets())
    world.file.unlink()
    await world.values.read_new()
    assert (await world.body_now())["password"] == "first-value"


async def test_another_server_does_not_deliver_an_older_value_as_the_new_version(
    world: SourceWorld,
) -> None:
    other = world.another_server()
    await world.body(other)
    world.file.write_text("second-value")
    await world.values.read_all()
    with pytest.raises(SecretsUnread):
        await world.body_now(other)
    assert await world.body(other) == await world.body()


async def test_a_source_that_cannot_be_read_changes_nothing(world: SourceWorld) -> None:
    first = await world.body()
    world.file.unlink()
    world.clock.seconds += HELD.total_seconds()
    with pytest.raises(SecretUnreadable) as caught:
        await world.body()
    assert "password" not in str(caught.value)
    assert (await world.versions())[0] == first["version"]
    state = await world.store.read(lambda tx: tx.source_state("default", "db"))
    assert (state.error, state.since) == (
        "password: file password: No such file or directory",
        world.clock.now(),
    )
    world.file.write_text("first-value")
    with pytest.raises(SecretUnreadable):  # not asked again at once
        await world.body_now()
    world.clock.seconds += FAILURE_HELD.total_seconds()
    assert await world.body() == first
    assert not (await world.store.read(lambda tx: tx.source_state("default", "db"))).error


async def test_an_older_version_is_delivered_with_the_values_of_now(world: SourceWorld) -> None:
    first = await world.body()
    older = await world.store.read(lambda tx: tx.secret("default", "db"))
    assert older is not None
    world.file.write_text("second-value")
    await world.values.read_all()
    whole = await world.store.read(lambda tx: delivered_secret(tx, older, world.values.values_of))
    assert whole.version == first["version"] != (await world.versions())[0]
    assert whole.spec.data["password"] == "second-value"


async def test_no_value_is_in_the_database_or_a_text(world: SourceWorld) -> None:
    await world.body()
    shown = (repr(world.values), repr(SPEC))
    assert not [text for text in shown if "first-value" in text]
    stored = b"".join(path.read_bytes() for path in world.directory.glob("edgesync.db*"))
    assert b"first-value" not in stored


async def test_other_sources_are_read_from_then_on(world: SourceWorld) -> None:
    first = await world.body()
    (world.file.parent / "other").write_text("other-value")
    spec = SecretSpec(data_from={"password": SecretSource(file="other")})
    await world.store.write(lambda tx: update_secret(tx, "default", "db", spec, now=NOW))
    version = (await world.versions())[0]
    assert version != first["version"]
    assert await world.body() == {"version": version, "password": "other-value"}
    plain = SecretSpec({"password": "given"})
    await world.store.write(lambda tx: update_secret(tx, "default", "db", plain, now=NOW))
    assert (await world.body_now())["password"] == "given"
    assert not await world.store.read(lambda tx: tx.sourced_secrets())


async def test_values_in_memory_are_bounded(world: SourceWorld) -> None:
    values = world.another_server(held_bytes=3000)
    for number in range(10):
        (world.file.parent / f"f{number}").write_text("x" * 700)
        source = {"k": SecretSource(file=f"f{number}")}
        await values.read([("default", "db", source)])
        assert values.size <= 3000


async def test_a_source_that_never_answers_is_given_up(world: SourceWorld) -> None:
    async def silent(_namespace: str, _path: str) -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    given: dict[str, Any] = {"new_salt": lambda: "salt", "every": timedelta(minutes=5)}
    reader, clock = SourceReader(vault=silent), world.clock
    values = SecretValues(
        *(world.store, reader, clock.now, clock.timer), **given, read_within=timedelta(0)
    )
    spec = SecretSpec(data_from={"k": SecretSource(vault="a", field="b")})
    await world.store.write(lambda tx: update_secret(tx, "default", "db", spec, now=NOW))
    await values.read_all()
    state = await world.store.read(lambda tx: tx.source_state("default", "db"))
    assert state.error == "its sources gave no answer within 0 s"
