import asyncio
import base64
from pathlib import Path

import pytest

from cloud.core.commands import CommandStatus, NodeResponse
from cloud.operations.commands import receive_answer
from tests.broker.node import DEADLINE, until
from tests.edgesync.conftest import Shell
from tests.rest.conftest import NODE


@pytest.fixture
async def asked(shell: Shell) -> Shell:
    await shell.world.client.call("POST", "/v1/nodes", NODE)
    return shell


async def answer(shell: Shell, own_id: str, response: NodeResponse) -> None:
    """Have the node answer a command."""
    world = shell.world
    await world.store.write(
        lambda tx: receive_answer(tx, "default.n1", own_id, response, now=world.clock.now)
    )
    world.notifier.notify("default.n1")


async def output_of(shell: Shell, response: NodeResponse, *words: str, code: int = 0) -> str:
    """What a command printed whose node gave that *answer*."""
    world = shell.world
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(shell.run(*words, code=code))
        await until(lambda: bool(world.notifier.count))
        (command, *_) = (await world.client.call("GET", "/v1/nodes/n1/commands"))["items"]
        await answer(shell, command["id"], response)
    return running.result().output


async def test_the_end_of_a_log_is_printed_without_what_commands_a_terminal(asked: Shell) -> None:
    log = NodeResponse(CommandStatus.DONE, "one\n\ttwo \x07\n", is_cut=True)
    output = await output_of(asked, log, "logs", "n1", "--app", "web", "--lines", "5")
    assert output == "Earlier output is truncated.\none\n\ttwo �\n"
    (command,) = (await asked.world.client.call("GET", "/v1/nodes/n1/commands"))["items"]
    assert (command["app"], command["lines"]) == ("web", 5)


async def test_a_log_is_followed_until_it_ends(asked: Shell) -> None:
    world = asked.world
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        words = ("logs", "n1", "--app", "web", "-f", "--since", "10m")
        running = tasks.create_task(asked.run(*words))
        await until(lambda: bool(world.notifier.count))
        (command, *_) = (await world.client.call("GET", "/v1/nodes/n1/commands"))["items"]
        for part, status in enumerate((CommandStatus.SENT, CommandStatus.SENT, CommandStatus.DONE)):
            response_part = NodeResponse(status, f"line {part}\n", part=part + 1)
            await answer(asked, command["id"], response_part)
    assert running.result().output == "line 0\nline 1\nline 2\n"
    assert (command["sinceSeconds"], command["follow"]) == (600, True)
    for wrong in ("soon", "0s", "8d", "-5m"):
        refused = await asked.run("logs", "n1", "--since", wrong, code=2)
        assert "not a duration" in refused.output


async def test_an_archive_is_written_and_what_is_none_is_refused(
    asked: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "n1.tar.gz"
    archive = NodeResponse(CommandStatus.DONE, base64.b64encode(b"\x1f\x8b...").decode())
    output = await output_of(asked, archive, "diagnose", "n1", "-o", str(file))
    assert f"5 bytes in {file}" in output
    assert file.read_bytes() == b"\x1f\x8b..."
    nonsense = NodeResponse(CommandStatus.DONE, "no archive!")
    assert "no archive" in await output_of(asked, nonsense, "diagnose", "n1", code=1)


async def test_an_agent_is_updated(asked: Shell) -> None:
    done = NodeResponse(CommandStatus.DONE, "runs edgesync-agent 2\n")
    assert "n1: runs edgesync-agent 2" in await output_of(asked, done, "update-agent", "n1")


async def test_an_app_is_restarted_and_a_report_is_made(asked: Shell) -> None:
    done = NodeResponse(CommandStatus.DONE)
    assert "web on n1" in await output_of(asked, done, "restart", "n1", "web", "--reason", "stuck")
    assert "n1 reported" in await output_of(asked, done, "report", "n1")


async def test_what_a_node_does_not_do_is_an_error_with_its_cause(asked: Shell) -> None:
    refused = NodeResponse(CommandStatus.REFUSED, cause="not here")
    output = await output_of(asked, refused, "restart", "n1", "web", code=1)
    assert "refused: not here" in output
    failed = NodeResponse(CommandStatus.FAILED, "the last words", cause="it broke")
    output = await output_of(asked, failed, "restart", "n1", "web", code=1)
    assert "the last words" in output
    assert "failed: it broke" in output
    assert "none" in (await asked.run("report", "none", code=1)).stderr
