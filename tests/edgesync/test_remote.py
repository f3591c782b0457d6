import asyncio

import pytest

from cloud.core.commands import Answer, CommandStatus
from cloud.operations.commands import receive_answer
from tests.broker.node import DEADLINE, until
from tests.edgesync.conftest import Shell
from tests.rest.conftest import NODE


@pytest.fixture
async def asked(shell: Shell) -> Shell:
    await shell.world.client.call("POST", "/v1/nodes", NODE)
    return shell


async def said(shell: Shell, answer: Answer, *words: str, code: int = 0) -> str:
    """What a command printed whose node gave that *answer*."""
    world = shell.world
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(shell.run(*words, code=code))
        await until(lambda: bool(world.wakes.count))
        (command, *_) = (await world.client.call("GET", "/v1/nodes/n1/commands"))["items"]
        await world.store.write(
            lambda tx: receive_answer(tx, "default.n1", command["id"], answer, now=world.clock.now)
        )
        world.wakes.wake("default.n1")
    return running.result().output


async def test_the_end_of_a_log_is_printed_without_what_commands_a_terminal(asked: Shell) -> None:
    log = Answer(CommandStatus.DONE, "one\n\ttwo \x07\n", is_cut=True)
    output = await said(asked, log, "logs", "n1", "--app", "web", "--lines", "5")
    assert output == "What came before is left out.\none\n\ttwo �\n"
    (command,) = (await asked.world.client.call("GET", "/v1/nodes/n1/commands"))["items"]
    assert (command["app"], command["lines"]) == ("web", 5)


async def test_an_app_is_restarted_and_a_report_is_made(asked: Shell) -> None:
    done = Answer(CommandStatus.DONE)
    assert "web on n1" in await said(asked, done, "restart", "n1", "web", "--reason", "stuck")
    assert "n1 reported" in await said(asked, done, "report", "n1")


async def test_what_a_node_does_not_do_is_an_error_with_its_cause(asked: Shell) -> None:
    refused = Answer(CommandStatus.REFUSED, cause="not here")
    output = await said(asked, refused, "restart", "n1", "web", code=1)
    assert "refused: not here" in output
    failed = Answer(CommandStatus.FAILED, "the last words", cause="it broke")
    output = await said(asked, failed, "restart", "n1", "web", code=1)
    assert "the last words" in output
    assert "failed: it broke" in output
    assert "none" in (await asked.run("report", "none", code=1)).stderr
