"""Errors state what happened and the next command, which works as it is printed."""

import re
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from edgesync import version
from tests.edgesync.conftest import Shell
from tests.rest.conftest import describe
from tests.serving import serving

COMMAND = re.compile(r"`edgesync ([^`]+)`")


def commands_in(text: str) -> Iterator[list[str]]:
    for found in COMMAND.finditer(text):
        yield found[1].split()


async def pasted(shell: Shell, text: str) -> None:
    """Run the commands that *text* names; each succeeds."""
    commands = list(commands_in(text))
    assert commands, text
    for words in commands:
        stdin = "a token for tests\n" if words[0] == "login" else None
        await shell.run(*words, stdin=stdin)


@pytest.fixture
async def described(shell: Shell) -> Shell:
    await describe(shell.world.client)
    return shell


async def test_what_is_missing_is_looked_for_with_the_command_that_is_named(
    described: Shell,
) -> None:
    for words in (["get", "node", "n9"], ["describe", "app/none"], ["label", "node", "n9", "a=b"]):
        refused = await described.run(*words, code=1)
        assert "not found" in refused.stderr
        await pasted(described, refused.stderr)


async def test_a_deleted_reference_is_brought_back_first(described: Shell) -> None:
    for words in (["app", "web"], ["config", "site"]):
        await described.run("delete", *words)
    refused = await described.run("undo", "app", "web", code=1)
    assert "edgesync undo config site" in refused.stderr
    await pasted(described, refused.stderr)
    await described.run("undo", "app", "web")


async def test_references_are_named_by_the_command_that_the_refusal_prints(
    described: Shell,
) -> None:
    refused = await described.run("delete", "config", "site", code=1)
    [words] = commands_in(refused.stderr)
    assert "web" in (await described.run(*words)).stdout


async def test_a_refused_token_is_named_by_where_it_is_from(shell: Shell) -> None:
    shell.env["EDGESYNC_TOKEN"] = "of another server"
    refused = await shell.run("get", "nodes", code=1)
    assert "does not accept the token of EDGESYNC_TOKEN" in refused.stderr
    await pasted(shell, refused.stderr)
    file = shell.file("token", "of another server")
    refused = await shell.run("get", "nodes", "--token-file", file, code=1)
    assert file in refused.stderr


async def test_a_context_that_is_not_there_is_no_usage_error(shell: Shell) -> None:
    refused = await shell.run("get", "nodes", "--context", "none", code=2)
    assert "Usage:" not in refused.stderr
    del shell.env["EDGESYNC_TOKEN"]
    refused = await shell.run("get", "nodes", code=2)
    assert "no token" in refused.stderr
    assert "Usage:" not in refused.stderr
    await pasted(shell, refused.stderr)


async def test_a_server_that_is_off_and_one_without_tls_are_distinguished(shell: Shell) -> None:
    url = shell.world.url
    off = await shell.run("get", "nodes", "--url", "http://127.0.0.1:9", code=1)
    assert "Check that the server runs at this address" in off.stderr
    await pasted(shell, off.stderr)
    plain = await shell.run("get", "nodes", "--url", url.replace("http:", "https:"), code=1)
    assert f"use --url {url}" in plain.stderr


async def test_another_port_is_recognised(shell: Shell) -> None:
    refused = await shell.run("get", "nodes", "--url", f"{shell.world.url}/docs", code=1)
    assert "9004" in refused.stderr


async def test_nodes_of_an_older_server_are_listed_without_their_status(shell: Shell) -> None:
    """One that refuses `include`, as the servers before it was made."""

    async def nodes(request: Request) -> JSONResponse:
        for name in sorted({"include", "sort"} & set(request.query_params)):
            message = f"unknown query parameter {name!r}"
            return JSONResponse({"code": "RequestParamInvalid", "message": message}, 400)
        state = {"name": "online", "since": None}
        node = {"name": "n1", "labels": {}, "state": state, "createTime": "2026-01-02T03:04:05Z"}
        return JSONResponse({"total": 1, "listOptions": {}, "items": [node]})

    async with serving(Starlette(routes=[Route("/v1/nodes", nodes)])) as url:
        shell.env["EDGESYNC_URL"] = url
        for words in (["nodes"], ["node", "n1"], ["nodes", "n*"]):
            shown = await shell.run("get", *words, "-o", "wide")
            assert shown.stdout.splitlines()[1].split()[:2] == ["n1", "online"]
            assert "older than the command" in shown.stderr
        refused = await shell.run("top", "nodes", code=1)
        assert "`edgesync version`" in refused.stderr


async def test_the_version_of_the_command_is_shown_without_a_server(shell: Shell) -> None:
    shell.env["EDGESYNC_URL"] = "http://127.0.0.1:1"
    assert (await shell.run("version", code=1)).stdout == f"Command: {version()}\n"
