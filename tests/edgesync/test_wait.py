from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud.core.report import Order, read_report
from cloud.operations.reports import receive_report
from cloud.store.transaction import Transaction
from tests.edgesync.conftest import Shell, shell_of
from tests.rest.conftest import describe, open_world


@pytest.fixture
async def described(shell: Shell) -> Shell:
    await describe(shell.world.client)
    return shell


async def test_what_is_not_ready_is_waited_for_and_named(described: Shell) -> None:
    refused = await described.run(
        *("wait", "nodes", "-l", "role=gateway", "--for", "ready", "--timeout", "0"), code=1
    )
    assert "node/n1: is never" in refused.stderr
    await described.run("wait", "app/web", "--for", "ready", code=2)


async def test_what_is_gone_is_waited_for(described: Shell) -> None:
    await described.run("wait", "node/n1", "--for", "deleted", "--timeout", "0", code=1)
    await described.run("delete", "node/n1")
    assert await described.lines("wait", "node/n1", "--for", "deleted") == [["node/n1", "deleted"]]


async def test_wait_names_what_has_not_converged(described: Shell) -> None:
    for thing in ("app/web", "config/site", "secret/password"):
        refused = await described.run("wait", thing, "--timeout", "0", code=1)
        assert "0 of 1 nodes run version" in refused.stderr
    refused = await described.run("wait", "node/n1", "--timeout", "0", code=1)
    assert "node/n1: " in refused.stderr
    await described.run("label", "node", "n1", "role-")
    # With no node selected it has arrived everywhere.
    assert await described.lines("wait", "app/web") == [["app/web", "converged"]]
    await described.run("wait", "batches", "b", code=2)


async def test_a_node_that_could_not_apply_an_app_is_named_with_its_cause(described: Shell) -> None:
    world = described.world

    def receive(content: dict[str, Any]) -> Callable[[Transaction], object]:
        report = read_report(content, Order())
        return lambda tx: receive_report(tx, "default.n1", report, "json", now=world.clock.now)

    await world.store.write(receive({"apps": [], "appstats": []}))
    world.clock.advance(20)
    await world.store.write(
        receive({"apps": [], "appstats": [{"name": "web", "cause": "no program.yml"}]})
    )
    refused = await described.run("wait", "app/web", "--timeout", "0", code=1)
    assert "app/web: 0 of 1 nodes run version" in refused.stderr
    assert "  n1: no program.yml\n" in refused.stderr
    refused = await described.run("wait", "node/n1", "--timeout", "0", code=1)
    assert "no program.yml" in refused.stderr
    stats = await world.client.call("GET", "/v1/nodes/n1/stats")
    assert stats["report"]["appstats"][0]["status"] == "Failed"


async def test_the_fleet_is_shown_at_a_glance(described: Shell) -> None:
    first, *_, titles, app = await described.lines("top")
    assert first[:3] == ["1", "nodes:", "0"]
    assert (titles[0], app[0]) == ("APP", "web")
    assert await described.lines("top", "fleet") == await described.lines("top")


async def test_use_of_nodes_is_shown(described: Shell) -> None:
    titles, line = await described.lines("top", "nodes")
    assert (titles[0], line[:2]) == ("NAME", ["n1", "never"])


async def test_all_pages_of_the_apps_that_use_it_are_looked_at(tmp_path: Path) -> None:
    async with open_world(tmp_path, list_bytes=1) as world:  # each app is a page
        config = {"name": "conf", "data": [{"key": "a", "value": {"type": "kv", "value": "x"}}]}
        await world.client.call("POST", "/v1/configs", config)
        await world.client.call("POST", "/v1/nodes", {"name": "n1", "labels": {"b": "2"}})
        for name, selector in (("one", "b=1"), ("two", "b=2")):
            app = {
                "name": name,
                "selector": selector,
                "services": [{"name": "web", "image": "nginx:1"}],
                "volumes": [{"name": "conf", "config": {"name": "conf"}}],
            }
            await world.client.call("POST", "/v1/apps", app)
        shell = shell_of(world, tmp_path)
        refused = await shell.run("wait", "config/conf", "--timeout", "0", code=1)
        assert "0 of 1 nodes run version" in refused.stderr
        described = await shell.run("describe", "config/conf")
        assert "two" in described.stdout
