import json

import pytest

from tests.edgesync.conftest import Shell
from tests.rest.conftest import CONFIG, SECRET, describe


@pytest.fixture
async def changed(shell: Shell) -> Shell:
    client = shell.world.client
    await describe(client)
    other = [{"key": "nginx.conf", "value": {"type": "kv", "value": "listen 81;\n"}}]
    await client.saying(**{"X-Edgesync-Reason": "the port"}).call(
        "PUT", "/v1/configs/site", {**CONFIG, "data": other}
    )
    await client.call("PUT", "/v1/secrets/password", {**SECRET, "data": {"password": "other"}})
    return shell


async def test_who_changed_what_when_and_why_is_shown(changed: Shell) -> None:
    titles, newest, oldest = await changed.lines("history", "config", "site")
    assert titles[0] == "REVISION"
    assert (newest[0], newest[3:]) == ("2", ["update", "administrator", "the", "port", "current"])
    assert (oldest[0], oldest[3]) == ("1", "create")
    text = (await changed.run("history", "config/site", "--from", "1")).stdout
    assert "listen 80;" in text
    assert "listen 81;" in text
    shown = await changed.run("history", "config/site", "--revision", "1", "-o", "json")
    assert json.loads(shown.stdout)["content"]["data"] == CONFIG["data"]
    for words in (["history", "node", "n1"], ["history", "configs"]):
        await changed.run(*words, code=2)
    await changed.run("history", "config", "site", "--revision", "1", "--to", "2", code=2)


async def test_values_of_secrets_are_in_no_history(changed: Shell) -> None:
    for words in ([], ["--from", "1"], ["--revision", "1"], ["--revision", "2", "-o", "json"]):
        output = (await changed.run("history", "secret", "password", *words)).output
        assert "öpen" not in output
        assert "other" not in output


async def test_a_change_is_taken_back_and_that_too(changed: Shell) -> None:
    done = await changed.lines("undo", "config", "site", "--reason", "no, it was right")
    assert done[0][:2] == ["undone", "config/site"]
    config = await changed.world.client.call("GET", "/v1/configs/site")
    assert config["data"] == CONFIG["data"]
    newest = (await changed.lines("history", "config", "site"))[1]
    assert newest[3] == "undo"
    await changed.run("undo", "config", "site", "--to", "2")
    config = await changed.world.client.call("GET", "/v1/configs/site")
    assert config["data"] != CONFIG["data"]
    await changed.run("undo", "config", "site", "--to", "99", code=1)


async def test_what_was_deleted_comes_back(changed: Shell) -> None:
    app = await changed.world.client.call("GET", "/v1/apps/web")
    await changed.run("delete", "app", "web")
    await changed.run("undo", "app", "web")
    back = await changed.world.client.call("GET", "/v1/apps/web")
    assert (back["services"], back["selector"]) == (app["services"], app["selector"])
