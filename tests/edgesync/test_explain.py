import json

import pytest
import yaml

from tests.edgesync.conftest import Shell
from tests.rest.conftest import describe


@pytest.fixture
async def described(shell: Shell) -> Shell:
    await describe(shell.world.client)
    return shell


async def test_explain_gives_the_reason_of_a_node_that_lags(described: Shell) -> None:
    shown = (await described.run("explain", "node", "n1")).stdout
    first, _, _, titles, app = shown.splitlines()
    assert first == "n1 has never reported"
    assert titles.split()[:2] == ["APP", "WANTED"]
    assert app.split()[0] == "web"
    assert "NeverActivated" in app
    wide = (await described.run("explain", "node/n1", "-o", "wide")).stdout
    assert "ACKNOWLEDGED" in wide
    assert "secrets reach it in plain text inside TLS" in wide
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        text = (await described.run("explain", "node", "n1", "-o", output)).stdout
        assert read(text)["apps"][0]["reason"] == "NeverActivated"


async def test_an_app_that_is_not_for_the_node_is_explained_too(described: Shell) -> None:
    await described.run("label", "node", "n1", "role=shop", "--overwrite")
    shown = (await described.run("explain", "node", "n1", "--app", "web")).stdout
    assert "SelectorMismatch" in shown
    await described.run("explain", "node", "n1", "--app", "none", code=1)
    await described.run("explain", "node", "none", code=1)
    refused = await described.run("explain", "config", "site", code=2)
    assert "edgesync wait config/site" in refused.stderr
