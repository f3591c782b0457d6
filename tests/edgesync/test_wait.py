from collections.abc import Callable
from typing import Any

import pytest

from cloud.core.report import Order, read_report
from cloud.operations.reports import receive_report
from cloud.store.transaction import Transaction
from tests.edgesync.conftest import Shell
from tests.rest.conftest import describe


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
