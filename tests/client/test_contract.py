"""What both clients promise, against a real server."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud.answers.apps import AppAnswer
from cloud.answers.common import AppSummary
from cloud.core.app import AppSpec, AppType, Ref, Service, Volume
from cloud.core.commands import CommandStatus, NodeResponse
from cloud.core.kinds import KINDS, RECORD
from cloud.core.report import Order, read_report
from cloud.operations.commands import receive_answer
from cloud.operations.reports import receive_report
from cloud.store.transaction import Transaction
from edgesync.client import (
    ApiError,
    ChangedMeanwhile,
    Client,
    InvalidCall,
    NotConfirmed,
    NotFoundError,
    NotPermitted,
    RolloutFailed,
    Unauthenticated,
    WaitTimeout,
)
from tests.broker.node import DEADLINE, until
from tests.client.conftest import ClientUser
from tests.rest.conftest import CALLBACK, CONFIG, NODE, REGISTRY, SECRET, World, open_world

SPEC = AppSpec(
    type=AppType.CONTAINER,
    selector="role=gateway",
    services=(Service(name="web", image="nginx:1"),),
    volumes=(Volume("site", config=Ref("site")),),
)


async def fill(user: ClientUser) -> None:
    """A node, a config and an app."""
    await user.do(lambda c: c.nodes.create("n1", NODE))
    await user.do(lambda c: c.configs.create("site", CONFIG))
    await user.do(lambda c: c.apps.create("web", SPEC))


async def create(user: ClientUser, kind: str, name: str, **spec: object) -> None:
    await user.do(lambda c: getattr(c, kind).create(name, spec))


async def test_a_resource_is_created_read_changed_and_deleted(user: ClientUser) -> None:
    await fill(user)
    app = await user.do(lambda c: c.apps.get("web"))
    assert isinstance(app, AppAnswer)
    assert app.services == SPEC.services
    (listed,) = await user.do(lambda c: c.apps.list())
    assert isinstance(listed, AppSummary)
    assert listed.version == app.version

    app.description = "sent back as it was read"
    put = await user.do(lambda c: c.apps.put("web", app))
    assert (put.description, put.services) == (app.description, app.services)
    patched = await user.do(lambda c: c.apps.patch("web", {"description": "patched"}))
    assert patched.description == "patched"

    await user.do(lambda c: c.apps.delete("web"))
    assert await user.do(lambda c: c.apps.find("web")) is None
    undone = await user.do(lambda c: c.apps.undo("web"))
    assert undone.description == "patched"


async def test_a_change_names_the_state_that_it_is_of(user: ClientUser) -> None:
    await fill(user)
    tagged = await user.do(lambda c: c.configs.tagged("site"))
    await user.do(lambda c: c.configs.patch("site", {"description": "a"}, if_match=tagged.tag))
    for change in (
        lambda c: c.configs.put("site", tagged.value, if_match=tagged.tag),
        lambda c: c.configs.delete("site", if_match=tagged.tag),
    ):
        with pytest.raises(ChangedMeanwhile):
            await user.do(change)


async def test_a_dry_run_returns_the_plan_and_changes_nothing(user: ClientUser) -> None:
    await fill(user)
    plan = await user.do(lambda c: c.apps.dry_run.patch("web", {"selector": "role=x"}))
    assert (plan.action, plan.nodes.touched, plan.nodes.names) == ("update", 1, ["n1"])
    assert (await user.do(lambda c: c.apps.dry_run.delete("web"))).nodes.touched == 1
    assert (await user.do(lambda c: c.apps.dry_run.create("new", SPEC))).name == "new"
    assert (await user.do(lambda c: c.apps.dry_run.put("web", SPEC))).changes == []
    assert [app.name for app in await user.do(lambda c: c.apps.list())] == ["web"]


@pytest.mark.parametrize("kind", ["nodes", "batches"])
async def test_lists_are_read_to_their_end(user: ClientUser, kind: str) -> None:
    for number in range(5):
        await create(user, kind, f"a{number}")
    found = await user.do(lambda c: getattr(c, kind).list())
    assert sorted(one.name for one in found) == [f"a{number}" for number in range(5)]
    assert await user.do(lambda c: getattr(c, kind).count()) == 5


async def test_lists_of_several_pages_are_read_to_their_end(
    tmp_path: Path, kind_of_client: Any
) -> None:
    async with open_world(tmp_path, list_limit=2) as world:
        user = ClientUser(kind_of_client(world.url, token="a token for tests"))
        for number in range(5):
            await create(user, "nodes", f"a{number}")
        found = await user.do(lambda c: c.nodes.list())
        assert sorted(one.name for one in found) == [f"a{number}" for number in range(5)]
        assert len(await user.do(lambda c: c.nodes.list(), first=3)) == 3
        await user.close()


async def test_resources_are_chosen_by_labels_and_fields(user: ClientUser) -> None:
    for name, role in (("n1", "a"), ("n2", "a"), ("n3", "b")):
        await create(user, "nodes", name, labels={"role": role})
    chosen = await user.do(lambda c: c.nodes.list(selector="role=a"))
    assert {node.name for node in chosen} == {"n1", "n2"}
    assert await user.do(lambda c: c.nodes.count(field_selector="metadata.name=n3")) == 1


async def test_errors_have_what_the_server_sent(user: ClientUser) -> None:
    with pytest.raises(NotFoundError) as missing:
        await user.do(lambda c: c.nodes.get("n1"))
    assert (missing.value.status, missing.value.code) == (404, "ResourceNotFound")
    assert missing.value.request_id
    with pytest.raises(InvalidCall) as invalid:
        await user.do(lambda c: c.nodes.create("n1", {"labels": {"role": 1}}))
    assert invalid.value.field == "labels.role"
    await fill(user)
    with pytest.raises(NotPermitted) as used:
        await user.do(lambda c: c.configs.delete("site"))
    assert used.value.code == "ResourceHasBeenUsed"


async def test_a_wrong_token_is_refused(world: World, kind_of_client: Any) -> None:
    user = ClientUser(kind_of_client(world.url, token="wrong"))
    with pytest.raises(Unauthenticated):
        await user.do(lambda c: c.overview())
    await user.close()


async def test_options_go_with_each_call(user: ClientUser) -> None:
    await fill(user)
    await user.do(lambda c: c.guard.put({"maxShare": 0.1, "minNodes": 1}))
    with pytest.raises(NotConfirmed):
        await user.do(lambda c: c.apps.patch("web", {"selector": "role=x"}))
    confirmed = ClientUser(user.client.with_options(confirm=True, reason="moved — away"))
    await confirmed.do(lambda c: c.apps.patch("web", {"selector": "role=x"}))
    (newest, *_) = await user.do(lambda c: c.apps.revisions("web"))
    assert newest.reason == "moved — away"
    other = ClientUser(user.client.with_options(namespace="other"))
    assert await other.do(lambda c: c.nodes.count()) == 0


async def test_every_kind_has_its_types(user: ClientUser) -> None:
    await fill(user)
    await user.do(lambda c: c.secrets.create("password", SECRET))
    await user.do(lambda c: c.registries.create("hub", REGISTRY))
    await user.do(lambda c: c.callbacks.create("crm", CALLBACK))
    await user.do(lambda c: c.batches.create("shops", {"enableWhitelist": 0, "quotaNum": 20}))

    assert (await user.do(lambda c: c.secrets.get("password"))).data == SECRET["data"]
    assert (await user.do(lambda c: c.registries.refresh("hub", "new"))).address
    assert (await user.do(lambda c: c.callbacks.retry("crm"))).state.pending == 0
    assert (await user.do(lambda c: c.batches.generate("shops", 2))).total == 2
    assert "install with" in await user.do(lambda c: c.batches.install_command("shops"))
    assert await user.do(lambda c: c.batches.refused("shops")) == []
    records = user.client.batches.records("shops")
    shop = ClientUser(user.client)
    made = await shop.do(lambda _: records.create("r1", {"fingerprintValue": "f1"}))
    assert (made.name, made.batch_name) == ("r1", "shops")
    assert len(await shop.do(lambda _: records.list())) == 3
    assert (await shop.do(lambda _: records.reset("r1"))).active == 0
    await shop.do(lambda _: records.delete("r1"))

    assert await user.do(lambda c: c.configs.apps("site"))
    assert (await user.do(lambda c: c.apps.diff("web"))).to == 1
    assert (await user.do(lambda c: c.apps.revision("web", 1))).content
    assert (await user.do(lambda c: c.guard.get())).min_nodes >= 0
    assert (await user.do(lambda c: c.system_apps.get())).modules == ()
    assert (await user.do(lambda c: c.overview())).nodes.never == 1
    assert await user.do(lambda c: c.certificates()) == []


def test_every_kind_of_the_registry_has_an_attribute() -> None:
    with Client() as client:
        names = [name for name in dir(type(client)) if isinstance(vars_of(client)[name], property)]
        parts = [getattr(client, name) for name in names]
    typed = {part.kind for part in parts if hasattr(part, "kind")} | {RECORD}
    assert typed == set(KINDS)


def vars_of(client: object) -> dict[str, object]:
    """All attributes of the classes of *client*."""
    return {name: one for base in type(client).__mro__ for name, one in vars(base).items()}


async def test_channels_and_rules_are_typed(user: ClientUser) -> None:
    channel = {"type": "webhook", "url": "https://hooks.example.com/x"}
    await user.do(lambda c: c.channels.create("ops", channel))
    rule = {"channels": ["ops"], "events": ["node.lost"]}
    await user.do(lambda c: c.notification_rules.create("lost", rule))
    assert (await user.do(lambda c: c.channels.get("ops"))).deliveries == []
    assert (await user.do(lambda c: c.channels.retry("ops"))).name == "ops"
    (found,) = await user.do(lambda c: c.notification_rules.list())
    assert found.channels == ("ops",)
    (own,) = await user.do(lambda c: c.namespaces())
    assert own.name == "default"


async def test_roles_and_rotated_tokens_are_typed(user: ClientUser) -> None:
    await user.do(lambda c: c.roles.create("own", {"permissions": ["read apps/web"]}))
    assert (await user.do(lambda c: c.roles.get("own"))).permissions == ("read apps/web",)
    narrow = {"permissions": ["read apps/web"]}
    made = await user.do(lambda c: c.tokens.create("ci", "own", **narrow))
    again = await user.do(lambda c: c.tokens.rotate("ci", overlap="1h"))
    assert made.token != again.token
    assert (again.permissions, bool(again.previous_expires)) == (["read apps/web"], True)


async def test_a_node_shows_how_it_does(user: ClientUser, world: World) -> None:
    await fill(user)
    await report(world, {"apps": [], "appstats": []})
    assert (await user.do(lambda c: c.nodes.stats("n1"))).report.apps == []
    assert (await user.do(lambda c: c.nodes.explain("n1"))).converged is False
    assert [one.name for one in await user.do(lambda c: c.nodes.apps("n1"))] == ["web"]
    (deploy,) = await user.do(lambda c: c.nodes.deploys("n1"))
    assert [app.name for app in deploy.apps] == ["web"]
    assert (await user.do(lambda c: c.nodes.usage("n1"))).items == []
    wanted = await user.do(lambda c: c.nodes.set_properties("n1", {"mode": "eco"}))
    assert wanted == await user.do(lambda c: c.nodes.properties("n1"))
    assert "install with" in await user.do(lambda c: c.nodes.install_command("n1"))
    await user.do(lambda c: c.nodes.revoke("n1"))
    assert world.cut_off


async def test_labels_of_many_nodes_are_changed(user: ClientUser, world: World) -> None:
    for name in ("n1", "n2"):
        await create(user, "nodes", name)
    plan = await user.do(lambda c: c.nodes.label_plan({"site": "a"}, names=["n1", "n2"]))
    assert plan.count == 2
    done = await user.do(lambda c: c.nodes.label({"site": "a"}, names=["n1", "n2"]))
    assert (done.selected, done.changed) == (2, 2)
    done = await user.do(lambda c: c.nodes.label({"site": None}, selector="site=a"))
    assert done.changed == 2
    (one, _) = await user.do(lambda c: c.nodes.list(include="status"))
    assert one.status.agent == ""
    assert (await user.do(lambda c: c.nodes.mode("n1"))).mode
    assert (await user.do(lambda c: c.nodes.set_mode("n1", "local"))).mode == "local"
    assert (await user.do(lambda c: c.trends(hours=1))).step > 0
    (newest, *_) = await user.do(lambda c: c.audit({"kind": "node", "name": "n1"}))
    assert newest.name == "n1"


async def test_a_command_ends_with_its_outcome(user: ClientUser, world: World) -> None:
    await fill(user)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(
            user.do(lambda c: c.nodes.run("n1", "logs", {"app": "web", "lines": 5}))
        )
        await until(lambda: bool(world.notifier.count))
        (command,) = await user.do(lambda c: c.pages("/v1/nodes/n1/commands"))
        response = NodeResponse(CommandStatus.DONE, "one line")
        await world.store.write(
            lambda tx: receive_answer(
                tx, "default.n1", command["id"], response, now=world.clock.now
            )
        )
        world.notifier.notify("default.n1")
    ended = running.result()
    assert (ended.status, ended.output, ended.lines) == (CommandStatus.DONE, "one line", 5)


async def test_tokens_are_created_and_revoked(user: ClientUser) -> None:
    made = await user.do(lambda c: c.tokens.create("ci", "viewer"))
    assert made.token
    assert [one.name for one in await user.do(lambda c: c.tokens.list())] == ["ci"]
    await user.do(lambda c: c.tokens.delete("ci"))
    assert await user.do(lambda c: c.tokens.list()) == []


async def test_a_kind_without_types_is_plain_data(user: ClientUser) -> None:
    await fill(user)
    app = await user.do(lambda c: c.kind("app").get("web"))
    assert app["services"][0]["image"] == "nginx:1"
    assert await user.do(lambda c: c.pages("/v1/nodes/n1/commands")) == []
    with pytest.raises(KeyError):
        user.client.kind("toaster")


async def test_a_wait_ends_when_all_nodes_run_it(user: ClientUser, world: World) -> None:
    await fill(user)
    version = (await user.do(lambda c: c.apps.get("web"))).version
    with pytest.raises(WaitTimeout, match="0 of 1 nodes run version"):
        await user.do(lambda c: c.apps.wait("web", timeout=0))
    apps = [{"name": "web", "version": version}]
    stats = [{"name": "web", "version": version, "status": "Running"}]
    await report(world, {"apps": apps, "appstats": stats})
    assert (await user.do(lambda c: c.apps.wait("web", timeout=0))).running == 1
    await user.do(lambda c: c.configs.wait("site", timeout=0))
    assert (await user.do(lambda c: c.nodes.wait("n1", timeout=0))).converged
    assert (await user.do(lambda c: c.nodes.wait_online("n1", timeout=0))).ready


async def test_a_wait_ends_when_nodes_failed_and_names_the_causes(
    user: ClientUser, world: World
) -> None:
    await fill(user)
    await report(world, {"apps": [], "appstats": []})
    world.clock.advance(20)
    await report(world, {"apps": [], "appstats": [{"name": "web", "cause": "no space"}]})
    with pytest.raises(RolloutFailed) as failed:
        await user.do(lambda c: c.apps.wait("web", timeout=60))
    assert failed.value.causes == ("n1: no space",)
    with pytest.raises(RolloutFailed, match="no space"):
        await user.do(lambda c: c.nodes.wait("n1", timeout=60))


async def test_waits_for_nodes_end_in_time(user: ClientUser) -> None:
    with pytest.raises(WaitTimeout, match="not found"):
        await user.do(lambda c: c.nodes.wait_online("n1", timeout=0))
    await user.do(lambda c: c.nodes.create("n1", {}))
    with pytest.raises(WaitTimeout, match="never"):
        await user.do(lambda c: c.nodes.wait_online("n1", timeout=0))
    with pytest.raises(WaitTimeout, match="still exists"):
        await user.do(lambda c: c.nodes.wait_deleted("n1", timeout=0))
    await user.do(lambda c: c.nodes.delete("n1"))
    await user.do(lambda c: c.nodes.wait_deleted("n1"))


async def test_events_are_listed_and_watched(user: ClientUser, world: World) -> None:
    await fill(user)
    await world.feed.round()
    newest, *older = await user.do(lambda c: c.events())
    assert (newest.type, len(older)) == ("app.created", 2)
    watched = await user.do(lambda c: c.watch(after=older[-1].id), first=2)
    assert [event.id for event in watched] == [older[-2].id, newest.id]


async def test_any_other_call_is_plain_data(user: ClientUser) -> None:
    assert (await user.do(lambda c: c.call("GET", "/v1/nodes")))["items"] == []
    assert "edgesync" in await user.do(lambda c: c.text("/metrics"))
    with pytest.raises(ApiError):
        await user.do(lambda c: c.call("GET", "/v1/nowhere"))


async def report(world: World, content: dict[str, Any]) -> None:
    """Have the node n1 report *content*."""

    def receive() -> Callable[[Transaction], object]:
        read = read_report(content, Order())
        return lambda tx: receive_report(tx, "default.n1", read, "json", now=world.clock.now)

    await world.store.write(receive())
