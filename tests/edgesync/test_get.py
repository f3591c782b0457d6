import json

import pytest

from cloud.core.report import Order, read_report
from cloud.operations.reports import receive_report
from tests.edgesync.conftest import Shell
from tests.rest.conftest import CONFIG, NODE, SECRET, describe


@pytest.fixture
async def described(shell: Shell) -> Shell:
    await describe(shell.world.client)
    return shell


async def test_a_table_has_a_line_for_each_and_wide_more_columns(described: Shell) -> None:
    titles, line = await described.lines("get", "nodes")
    assert (titles[0], line[:2]) == ("NAME", ["n1", "never"])
    _, wide = await described.lines("get", "node", "n1", "-o", "wide")
    assert "baetyl-node-name=n1,role=gateway" in wide
    for kind in ("apps", "configs", "secrets"):
        assert (await described.lines("get", kind))[0][0] == "NAME"
    for kind in ("registries", "batches", "records", "callbacks"):
        assert "No " in (await described.run("get", kind)).stderr
    assert (await described.lines("get", "systemapps"))[0][0] == "MODULES"


async def test_things_are_chosen_by_kind_name_and_labels(described: Shell) -> None:
    client = described.world.client
    await client.call("POST", "/v1/nodes", {**NODE, "name": "n2", "labels": {"role": "x"}})

    async def names(*words: str) -> list[str]:
        return [name for (name,) in await described.lines("get", *words, "-o", "name")]

    assert sorted(await names("nodes")) == ["node/n1", "node/n2"]
    assert await names("nodes", "-l", "role=x") == ["node/n2"]
    assert await names("node/n2", "app/web") == ["node/n2", "app/web"]
    assert await names("NODES", "n1") == ["node/n1"]
    for words in (
        ["nothing"],
        ["node/n1", "n2"],
        ["secrets", "-l", "a=b"],
        ["node", "n1", "-l", "a"],
    ):
        await described.run("get", *words, code=2)
    refused = await described.run("get", "node", "n3", code=1)
    assert "node/n3" in refused.stderr
    assert "edgesync get" in refused.stderr


async def test_programs_get_whole_things_without_secret_values(described: Shell) -> None:
    many = json.loads((await described.run("get", "configs", "-o", "json")).stdout)
    assert (many["kind"], many["items"][0]["data"]) == ("List", CONFIG["data"])
    one = json.loads((await described.run("get", "secret/password", "-o", "json")).stdout)
    assert one["data"] == {"password": "********"}
    shown = await described.run("get", "secret/password", "-o", "json", "--show-secrets")
    assert json.loads(shown.stdout)["data"] == SECRET["data"]
    assert "öpen" not in (await described.run("describe", "secret", "password")).output


async def test_lists_longer_than_a_page_are_whole(described: Shell) -> None:
    batch = {"name": "b", "quotaNum": 2000}
    await described.world.client.call("POST", "/v1/register", batch)
    await described.world.client.call("POST", "/v1/register/b/generate", {"num": 1001})
    assert len(await described.lines("get", "records", "-o", "name")) == 1001


async def test_the_description_of_a_node_names_its_agent(described: Shell) -> None:
    world = described.world
    core = {"binVersion": "edgesync-agent 2", "gitRevision": "9f2c01aa"}
    report = read_report({"core": core, "apps": []}, Order())
    await world.store.write(
        lambda tx: receive_report(tx, "default.n1", report, "json", now=world.clock.now)
    )
    node = (await described.run("describe", "node/n1")).stdout
    assert "Agent: edgesync-agent 2, 9f2c01aa\n" in node


async def test_a_description_has_what_belongs_to_a_resource(described: Shell) -> None:
    node = (await described.run("describe", "node/n1")).stdout
    assert "name: n1" in node
    assert "web " in node.partition("Apps:")[2]
    config = (await described.run("describe", "config", "site")).stdout
    assert "web " in config.partition("Apps that use it:")[2]
    await described.run("describe", "app", "web")
    await described.run("describe", "app", "none", code=1)
    await described.run("describe", "app", code=2)


async def test_output_of_a_node_does_not_control_the_terminal(described: Shell) -> None:
    body = {**NODE, "description": "\x1b]0;title\x07red\x1b[31m\x9b2J"}
    await described.world.client.call("PUT", "/v1/nodes/n1", body)
    for words in (["get", "nodes"], ["describe", "node", "n1"], ["get", "nodes", "-o", "yaml"]):
        output = (await described.run(*words)).stdout
        assert not {"\x1b", "\x07", "\x9b"} & set(output)


async def test_a_viewer_exports_what_it_may_see_and_a_list_of_what_is_left_out(
    described: Shell,
) -> None:
    made = await described.world.client.call("POST", "/v1/tokens", {"name": "v", "role": "viewer"})
    described.env["EDGESYNC_TOKEN"] = made["token"]
    result = await described.run("export", code=1)
    assert "kind: App" in result.stdout
    assert "kind: Secret" not in result.stdout
    assert "secrets skipped" in result.stderr


async def test_a_server_that_is_not_there_is_no_traceback(shell: Shell) -> None:
    shell.env["EDGESYNC_URL"] = "http://127.0.0.1:9"
    for words in (["get", "nodes"], ["apply", "-f", "-"], ["export"]):
        refused = await shell.run(*words, stdin="kind: Node\nname: a\n", code=1)
        assert "Check that the server runs" in refused.stderr
    shell.env |= {"EDGESYNC_URL": shell.world.url, "EDGESYNC_TOKEN": "wrong"}
    refused = await shell.run("get", "nodes", code=1)
    assert "edgesync login" in refused.stderr


async def test_namespaces_are_listed_with_their_counts(described: Shell) -> None:
    await described.world.client.within("shop").call("POST", "/v1/nodes", NODE)
    titles, *rows = await described.lines("get", "namespaces")
    assert titles == ["NAME", "NODES", "ONLINE", "APPS", "BATCHES"]
    assert rows == [["default", "1", "0", "1", "0"], ["shop", "1", "0", "0", "0"]]
    assert (await described.lines("get", "ns", "shop", "-o", "wide"))[1][-1] == "1"
    assert await described.lines("get", "ns", "s*", "-o", "name") == [["namespace/shop"]]
    found = json.loads((await described.run("get", "namespace/shop", "-o", "json")).stdout)
    assert (found["kind"], found["nodes"]["never"]) == ("Namespace", 1)
    assert "namespace/x not found" in (await described.run("get", "ns", "x", code=1)).stderr
    assert "events" in (await described.run("get", "ns", "-w", code=2)).stderr


async def test_things_of_all_namespaces_are_listed_by_namespace(described: Shell) -> None:
    shop = described.world.client.within("shop")
    await shop.call("POST", "/v1/nodes", {**NODE, "name": "a1", "labels": {"role": "x"}})
    await shop.call("POST", "/v1/nodes", {**NODE, "name": "n1"})

    async def places(*words: str) -> list[list[str]]:
        return [line[:2] for line in (await described.lines("get", *words, "-A"))[1:]]

    every = [["default", "n1"], ["shop", "a1"], ["shop", "n1"]]
    assert (await described.lines("get", "nodes", "-A"))[0][:3] == ["NAMESPACE", "NAME", "STATE"]
    assert await places("nodes") == every
    assert await places("nodes", "-o", "wide") == every
    assert await places("nodes", "--sort-by", "name") == [every[1], every[0], every[2]]
    assert await places("nodes", "-l", "role=x") == [["shop", "a1"]]
    assert await places("nodes", "n*") == await places("node/n1") == [every[0], every[2]]
    assert await places("apps") == [["default", "web"]]
    assert await places("batches") == []
    assert await described.lines("get", "no", "-A", "-o", "name", "-l", "role=x") == [["node/a1"]]
    found = json.loads((await described.run("get", "nodes", "-A", "-o", "json")).stdout)
    assert [[one["namespace"], one["name"]] for one in found["items"]] == every
    rows = await described.lines("get", "apps", "-A")
    assert rows[1][3] == "0/1"
    assert "any namespace" in (await described.run("get", "batches", "-A")).stderr
    for words in (["-n", "shop"], ["-w"]):
        assert "-A" in (await described.run("get", "nodes", "-A", *words, code=2)).stderr


async def test_a_token_of_one_namespace_lists_that_one(described: Shell) -> None:
    await described.world.client.within("shop").call("POST", "/v1/nodes", NODE)
    body = {"name": "v", "role": "viewer", "namespace": "shop"}
    token = (await described.world.client.call("POST", "/v1/tokens", body))["token"]
    described.env["EDGESYNC_TOKEN"] = token
    assert (await described.lines("get", "nodes", "-A"))[1][:2] == ["shop", "n1"]
    assert await described.lines("get", "ns", "-o", "name") == [["namespace/shop"]]
