import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud.core.tokens import Role
from tests.edgesync.conftest import Shell
from tests.rest.conftest import TOKEN


def kept(shell: Shell) -> Path:
    return Path(str(shell.env["EDGESYNC_CONTEXTS"]))


def is_there(file: Path) -> bool:
    return file.exists()


def content(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def mode(file: Path, wanted: int | None = None) -> int:
    """The mode of the file, after it was set to *wanted* if that is given."""
    if wanted is not None:
        file.chmod(wanted)
    return file.stat().st_mode & 0o777


@pytest.fixture
def stranger(shell: Shell) -> Shell:
    """A user who has not logged in."""
    shell.env |= {"EDGESYNC_URL": None, "EDGESYNC_TOKEN": None}
    return shell


async def test_after_a_login_no_options_are_needed(stranger: Shell) -> None:
    refused = await stranger.run("get", "nodes", code=2)
    assert "edgesync login" in refused.stderr
    url = stranger.world.url
    done = await stranger.run("login", url, "--context", "shop", stdin=f"{TOKEN}\n")
    assert TOKEN not in done.output
    assert await stranger.lines("get", "nodes", "-o", "name") == []
    shown = await stranger.run("context", "show")
    assert TOKEN not in shown.output
    assert url in shown.output
    assert (await stranger.lines("context", "list"))[1:] == [["*", "shop", url, "-"]]
    # Commands that were there before contexts know them, too.
    assert (await stranger.lines("token", "list"))[0][0] == "NAMESPACE"
    assert (await stranger.lines("audit", "list"))[0][0] == "NUMBER"
    await stranger.run("context", "delete", "shop")
    await stranger.run("get", "nodes", code=2)


async def test_only_its_owner_may_read_the_file(stranger: Shell) -> None:
    await stranger.run("login", stranger.world.url, stdin=f"{TOKEN}\n")
    assert mode(kept(stranger)) == 0o600
    mode(kept(stranger), 0o640)
    refused = await stranger.run("get", "nodes", code=2)
    assert "chmod 600" in refused.stderr


async def test_a_token_that_the_server_does_not_take_is_not_kept(stranger: Shell) -> None:
    refused = await stranger.run("login", stranger.world.url, stdin="wrong\n", code=1)
    assert "wrong" not in refused.stderr
    assert not is_there(kept(stranger))


async def test_a_data_directory_is_enough(stranger: Shell) -> None:
    data = str(stranger.folder / "data")
    refused = await stranger.run("login", stranger.world.url, "--data-dir", data, code=1)
    assert "admin.token" in refused.stderr
    stranger.file("data/admin.token", TOKEN)
    await stranger.run("login", stranger.world.url, "--data-dir", data, "--wait", "5")
    assert content(kept(stranger))["contexts"]["default"] == {
        "url": stranger.world.url,
        "tokenFile": f"{data}/admin.token",
    }
    await stranger.run("get", "nodes")


async def test_the_token_of_a_context_goes_to_no_other_server(stranger: Shell) -> None:
    await stranger.run("login", stranger.world.url, stdin=f"{TOKEN}\n")
    other = "http://127.0.0.1:9"
    refused = await stranger.run("get", "nodes", "--url", other, code=2)
    assert "no token: " in refused.stderr
    # The address that it has anyway is no other one.
    await stranger.run("get", "nodes", "--url", stranger.world.url + "/")
    named = await stranger.run("get", "nodes", "--context", "elsewhere", code=2)
    assert "default" in named.stderr


async def test_a_token_goes_to_other_machines_by_https_alone(stranger: Shell) -> None:
    refused = await stranger.run("login", "http://192.0.2.1:9004", stdin=f"{TOKEN}\n", code=2)
    assert "https only" in refused.stderr


async def test_a_context_has_a_namespace_and_a_flag_overrides_it(stranger: Shell) -> None:
    await stranger.run("login", stranger.world.url, "-n", "shop", stdin=f"{TOKEN}\n")
    file = stranger.file("n.yaml", "kind: Node\nname: n1\n")
    await stranger.run("apply", "-f", file)
    assert await stranger.lines("get", "nodes", "-o", "name") == [["node/n1"]]
    assert await stranger.lines("get", "nodes", "-o", "name", "-n", "default") == []
    assert (await stranger.world.client.within("shop").call("GET", "/v1/nodes"))["total"] == 1


@pytest.mark.parametrize(
    "text",
    ["[1]", "contexts: [x]\n", "contexts: {a: {}}\n", "contexts: {a: {url: x, b: 1}}\n", ":"],
)
async def test_a_file_that_is_none_is_named(stranger: Shell, text: str) -> None:
    file = Path(stranger.file("contexts.yaml", text))
    mode(file, 0o600)
    refused = await stranger.run("get", "nodes", code=2)
    assert str(file) in refused.stderr


async def test_of_two_contexts_the_one_in_use_is_asked(stranger: Shell) -> None:
    made = await stranger.world.client.call(
        "POST", "/v1/tokens", {"name": "v", "role": Role.VIEWER, "namespace": "shop"}
    )
    await stranger.run("login", stranger.world.url, "--context", "all", stdin=f"{TOKEN}\n")
    token_file = stranger.file("viewer.token", made["token"])
    await stranger.run(
        "login", stranger.world.url, "--context", "viewer", "--token-file", token_file
    )
    refused = await stranger.run("token", "list", code=1)
    assert "edgesync context list" in refused.stderr
    await stranger.run("token", "--context", "all", "list")
    await stranger.run("context", "use", "all")
    await stranger.run("token", "list")
    os.unlink(token_file)
    gone = await stranger.run("get", "nodes", "--context", "viewer", code=2)
    assert "viewer.token" in gone.stderr
