"""`edgesync auth`, against the API behind a real web server."""

import asyncio

from click.testing import CliRunner, Result

from edgesync.__main__ import main
from tests.rest.conftest import TOKEN, World


async def test_the_command_answers_with_a_word_and_an_exit_code(world: World) -> None:
    await world.client.call("POST", "/v1/nodes", {"name": "till-1", "labels": {"shop": "7"}})
    await world.client.call("POST", "/v1/nodes", {"name": "till-2"})
    body = {"name": "keeper", "role": "operator", "nodes": "shop=7"}
    limited = (await world.client.call("POST", "/v1/tokens", body))["token"]

    async def run(*words: str, token: str = TOKEN) -> Result:
        env = {"EDGESYNC_URL": world.url, "EDGESYNC_TOKEN": token}
        runner = CliRunner(env=env)
        return await asyncio.to_thread(runner.invoke, main, ["auth", *words])

    asked = await run("can-i", "create", "tokens")
    assert (asked.exit_code, asked.stdout) == (0, "yes\n")
    asked = await run("can-i", "restart", "nodes", token=limited)
    assert (asked.exit_code, asked.stdout) == (0, "yes, the nodes shop=7\n")
    asked = await run("can-i", "restart", "node", "till-1", token=limited)
    assert asked.exit_code == 0
    for words in (("restart", "node", "till-2"), ("create", "tokens")):
        asked = await run("can-i", *words, token=limited)
        assert (asked.exit_code, asked.stdout) == (1, "no\n"), words
        assert asked.stderr
    shown = await run("whoami", token=limited)
    assert shown.stdout.splitlines()[0] == "token keeper"
    assert shown.stdout.splitlines()[-1].split() == ["default", "operator", "on", "shop=7"]
    assert (await run("whoami")).stdout.splitlines()[0] == "administrator"
