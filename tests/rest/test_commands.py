"""Commands to nodes, over the API."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cloud.core.commands import OPEN_LIMIT, CommandStatus, NodeResponse
from cloud.operations.commands import receive_answer
from cloud.rest.places import Places, command_waits
from tests.broker.node import DEADLINE, until
from tests.rest.conftest import NODE, ApiCaller, World, open_world
from tests.rest.test_tokens import bearer, made

COMMANDS = "/v1/nodes/n1/commands"
LOGS = {"command": "logs", "lines": 7}
DONE = NodeResponse(CommandStatus.DONE, "all is well\n")


async def give(world: World, draft: dict[str, Any] = LOGS) -> dict[str, Any]:
    await world.client.send("POST", "/v1/nodes", NODE)
    given: dict[str, Any] = await world.client.call("POST", COMMANDS, draft)
    return given


async def answer(
    world: World, own_id: str, response: NodeResponse = DONE, node: str = "default.n1"
) -> None:
    now = world.clock.now
    await world.store.write(lambda tx: receive_answer(tx, node, own_id, response, now=now))
    world.notifier.notify(node)


async def test_a_command_waits_is_answered_once_and_shown_with_its_output(world: World) -> None:
    given = await give(world)
    assert given["status"] == "waiting"
    assert (given["lines"], given["app"], given["output"], given["cause"]) == (7, "", None, "")
    assert given["actor"] == {"kind": "administrator", "name": "", "namespace": ""}
    assert "commands" in world.woken
    one = f"{COMMANDS}/{given['id']}"
    assert await world.client.call("GET", one) == given
    world.clock.advance(2)
    await answer(world, given["id"])
    await answer(world, given["id"], NodeResponse(CommandStatus.FAILED, cause="second thoughts"))
    after = await world.client.call("GET", one)
    assert (after["status"], after["output"], after["cause"]) == ("done", "all is well\n", "")
    listed = await world.client.call("GET", COMMANDS)
    assert listed["items"] == [{**after, "output": None}]


async def test_a_node_refuses(world: World) -> None:
    given = await give(world, {"command": "restart", "app": "web"})
    await answer(world, given["id"], NodeResponse(CommandStatus.REFUSED, cause="not here"))
    after = await world.client.call("GET", f"{COMMANDS}/{given['id']}")
    assert (after["status"], after["cause"], after["output"]) == ("refused", "not here", "")


async def test_a_command_expires_and_a_late_answer_changes_nothing(world: World) -> None:
    given = await give(world, {"command": "report", "seconds": 5})
    world.clock.advance(5)
    await answer(world, given["id"])
    after = await world.client.call("GET", f"{COMMANDS}/{given['id']}")
    assert (after["status"], after["endTime"]) == ("expired", given["deadline"])
    assert "not connected over MQTT" in after["cause"]

    given = await give(world)
    await world.store.write(lambda tx: tx.claim_commands("default", "n1", world.clock.now))
    world.clock.advance(31)
    after = await world.client.call("GET", f"{COMMANDS}/{given['id']}")
    assert (after["status"], after["output"]) == ("expired", "")
    assert "did not answer" in after["cause"]


async def test_a_waiting_request_is_answered_at_once_and_none_waits_once_the_server_stops(
    world: World,
) -> None:
    given = await give(world)
    one = f"{COMMANDS}/{given['id']}"
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(world.client.call("GET", f"{one}?wait=60"))
        await until(lambda: bool(world.notifier.count))
        await answer(world, given["id"])
    assert waiting.result()["status"] == "done"

    given = await give(world)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(world.client.call("GET", f"{COMMANDS}/{given['id']}?wait=60"))
        await until(lambda: bool(world.notifier.count))
        world.notifier.close()
    assert waiting.result()["status"] == "waiting"
    assert await world.client.call("GET", f"{COMMANDS}/{given['id']}?wait=60") == waiting.result()
    assert world.notifier.count == 0


async def test_a_waiting_request_is_answered_after_its_timeout(world: World) -> None:
    given = await give(world)
    async with asyncio.timeout(DEADLINE):
        after = await world.client.call("GET", f"{COMMANDS}/{given['id']}?wait=1")
    assert after == given


async def test_a_followed_log_is_waited_for_behind_what_is_known(world: World) -> None:
    given = await give(world, {"command": "logs", "follow": True, "sinceSeconds": 60})
    assert (given["follow"], given["sinceSeconds"], given["outputEnd"]) == (True, 60, 0)
    one = f"{COMMANDS}/{given['id']}"
    part = NodeResponse(CommandStatus.SENT, "one\n", part=1)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(world.client.call("GET", f"{one}?wait=60&after=0"))
        await until(lambda: bool(world.notifier.count))
        await answer(world, given["id"], part)
    shown = waiting.result()
    assert (shown["status"], shown["output"], shown["outputEnd"]) == ("sent", "one\n", 4)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(world.client.call("GET", f"{one}?wait=60&after=4"))
        await until(lambda: bool(world.notifier.count))
        await answer(world, given["id"], NodeResponse(CommandStatus.DONE, "two\n", part=2))
    shown = waiting.result()
    assert (shown["status"], shown["output"], shown["cut"]) == ("done", "two\n", False)
    assert (await world.client.call("GET", one))["output"] == "one\ntwo\n"
    await world.client.refused("GET", f"{one}?after=x", status=400, code="RequestParamInvalid")


async def test_who_gave_a_command_follows_its_log_without_an_entry_for_each_look(
    world: World,
) -> None:
    given = await give(world, {"command": "logs", "follow": True})
    await answer(world, given["id"], NodeResponse(CommandStatus.SENT, "one\n", part=1))
    one = f"{COMMANDS}/{given['id']}"

    async def looks() -> int:
        entries = (await world.client.call("GET", "/v1/audit?limit=100"))["items"]
        return sum(entry["action"] == "command.read" for entry in entries)

    await world.client.call("GET", f"{one}?after=4")
    assert await looks() == 0
    async with bearer(world, await made(world, "operator", "default")) as operator:
        await operator.call("GET", f"{one}?after=1")
    assert await looks() == 1


async def test_viewers_see_no_output_and_give_no_commands(world: World) -> None:
    given = await give(world)
    await answer(world, given["id"])
    code = "RequestForbidden"
    async with bearer(world, await made(world, "viewer", "default")) as viewer:
        (item,) = (await viewer.call("GET", COMMANDS))["items"]
        assert (item["status"], item["output"]) == ("done", None)
        await viewer.refused("GET", f"{COMMANDS}/{given['id']}", status=403, code=code)
        await viewer.refused("POST", COMMANDS, LOGS, status=403, code=code)
    async with bearer(world, await made(world, "operator", "default")) as operator:
        assert (await operator.call("POST", COMMANDS, LOGS))["actor"]["kind"] == "token"
        shown = await operator.call("GET", f"{COMMANDS}/{given['id']}")
        assert shown["output"] == "all is well\n"


async def test_another_namespace_sees_and_does_nothing(world: World) -> None:
    given = await give(world)
    other = world.client.within("other")
    await other.call("POST", "/v1/nodes", NODE)
    missing = "ResourceNotFound"
    assert (await other.call("GET", COMMANDS))["total"] == 0
    await other.refused("GET", f"{COMMANDS}/{given['id']}", status=404, code=missing)
    await world.client.call("POST", "/v1/nodes", {"name": "n2"})
    path = f"/v1/nodes/n2/commands/{given['id']}"
    await world.client.refused("GET", path, status=404, code=missing)
    await world.client.refused("POST", "/v1/nodes/n3/commands", LOGS, status=404, code=missing)
    for stranger in ("other.n1", "default.n2", "default.n9"):
        await answer(world, given["id"], node=stranger)
    assert await world.client.call("GET", f"{COMMANDS}/{given['id']}") == given


async def test_a_node_is_asked_only_so_much_at_a_time(world: World) -> None:
    given = [await give(world) for _ in range(OPEN_LIMIT)]
    await world.client.refused("POST", COMMANDS, LOGS, status=409, code="TooManyCommands")
    await answer(world, given[0]["id"])
    await give(world)
    world.clock.advance(31)
    for _ in range(OPEN_LIMIT):
        await give(world)


async def test_the_newest_commands_are_kept_and_listed_in_pages(world: World) -> None:
    ids = []
    for _ in range(22):
        world.clock.advance(1)
        ids.append((await give(world))["id"])
        await answer(world, ids[-1])
    found: list[str] = []
    token_of_page = ""
    while True:
        page = await world.client.call("GET", f"{COMMANDS}?limit=8&continue={token_of_page}")
        assert page["total"] == 20
        found += [item["id"] for item in page["items"]]
        token_of_page = page["listOptions"]["continue"]
        if not token_of_page:
            break
    assert found == ids[:1:-1]


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        ({}, "command"),
        ({"command": "reboot"}, "command"),
        ({"command": "restart"}, "app"),
        ({"command": "restart", "app": "Web/../x"}, "app"),
        ({"command": "report", "app": "web"}, "app"),
        ({"command": "report", "lines": 5}, "lines"),
        ({"command": "logs", "lines": -1}, "lines"),
        ({"command": "logs", "lines": 1001}, "lines"),
        ({"command": "logs", "seconds": 0}, "seconds"),
        ({"command": "logs", "seconds": 3601}, "seconds"),
        ({"command": "logs", "shell": "rm"}, "shell"),
        ({"command": "restart", "app": "web", "follow": True}, "follow"),
        ({"command": "report", "sinceSeconds": 1}, "sinceSeconds"),
        ({"command": "logs", "sinceSeconds": -1}, "sinceSeconds"),
        ({"command": "logs", "sinceSeconds": 604801}, "sinceSeconds"),
        ({"command": "diagnose", "app": "web"}, "app"),
        ({"command": "update", "app": "web"}, "app"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_field(
    client: ApiCaller, draft: dict[str, Any], field: str
) -> None:
    await client.call("POST", "/v1/nodes", NODE)
    code = "RequestParamInvalid"
    message = await client.refused("POST", COMMANDS, draft, status=400, code=code)
    assert field in message
    await client.refused("GET", f"{COMMANDS}/x?wait=61", status=400, code=code)


async def test_a_command_is_an_entry_of_the_log_with_its_reason(world: World) -> None:
    await world.client.call("POST", "/v1/nodes", NODE)
    saying = world.client.saying(**{"X-Edgesync-Reason": "it hangs"})
    draft = {"command": "restart", "app": "web"}
    given = await saying.call("POST", COMMANDS, draft)
    (entry, _) = (await world.client.call("GET", "/v1/audit"))["items"]
    assert (entry["action"], entry["name"]) == ("command.create", f"n1/{given['id']}")
    assert entry["reason"] == "it hangs"
    assert entry["after"] == {"command": "restart", "app": "web", "lines": 0}


async def test_a_look_at_an_output_is_an_entry_and_a_look_for_one_is_none(world: World) -> None:
    given = await give(world)
    one = f"{COMMANDS}/{given['id']}"

    async def looks() -> int:
        return int((await world.client.call("GET", "/v1/audit?action=command.read"))["total"])

    await world.client.call("GET", one)
    await world.client.call("GET", COMMANDS)
    assert await looks() == 0
    await answer(world, given["id"])
    await world.client.call("GET", one)
    assert await looks() == 1


async def test_commands_go_with_their_node(world: World) -> None:
    given = await give(world)
    await world.client.call("DELETE", "/v1/nodes/n1")
    await world.client.call("POST", "/v1/nodes", NODE)
    await world.client.refused(
        "GET", f"{COMMANDS}/{given['id']}", status=404, code="ResourceNotFound"
    )


@pytest.mark.parametrize("waits", [command_waits(total=1), command_waits(of_one=1)])
async def test_callers_that_wait_are_bounded(tmp_path: Path, waits: Places) -> None:
    async with open_world(tmp_path, waits=waits) as world:
        given = await give(world)
        one = f"{COMMANDS}/{given['id']}"
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(world.client.call("GET", f"{one}?wait=60"))
            await until(lambda: bool(world.notifier.count))
            refused = await world.client.send("GET", f"{one}?wait=60")
            assert (refused.status_code, refused.json()["code"]) == (429, "TooManyRequests")
            assert int(refused.headers["retry-after"]) > 0
            assert (await world.client.call("GET", one))["status"] == "waiting"
            await answer(world, given["id"])
        assert waiting.result()["status"] == "done"
        assert (await world.client.call("GET", f"{one}?wait=60"))["status"] == "done"
        metrics = (await world.client.send("GET", "/metrics")).text
        assert 'edgesync_limits_refusals_total{bound="command_waits"} 1.0' in metrics
