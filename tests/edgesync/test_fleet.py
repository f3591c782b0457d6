"""From a number to the nodes behind it, with the words that users of kubectl know."""

import asyncio
import json
import os
import signal
import sys
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner

from cloud.core.node import Node, NodeSpec
from cloud.core.refused_device import RefusalReason
from cloud.core.report import Order, read_report
from cloud.operations.reports import receive_report
from cloud.store.transaction import Transaction
from edgesync.__main__ import main
from tests.deadlines import UNIT
from tests.edgesync.conftest import Shell
from tests.rest.conftest import NODE, describe

CAUSE = "image web:2 not found"


@pytest.fixture
async def fleet(shell: Shell) -> Shell:
    """Nodes n1, n2 and press-1 of the app web: n1 runs it, n2 failed, press-1 never reported."""
    client = shell.world.client
    await describe(client)
    for name in ("n2", "press-1"):
        await client.call("POST", "/v1/nodes", {**NODE, "name": name})
    version = (await client.call("GET", "/v1/apps/web"))["version"]
    await report(shell, "n1", version, "Running")
    await report(shell, "n2", version, "Failed", cause=CAUSE)
    return shell


async def report(shell: Shell, node: str, version: str, status: str, **more: str) -> None:
    app = {"name": "web", "version": version}
    content = {
        "node": {"address": "10.0.0.7", "osImage": "Debian 13", "arch": "arm64"},
        "core": {"binVersion": "1.4.0"},
        "apps": [app],
        "appstats": [{**app, "status": status, **more}],
    }
    read = read_report(content, Order())
    world = shell.world
    await world.store.write(
        lambda tx: receive_report(tx, f"default.{node}", read, "json", now=world.clock.now)
    )


async def names(shell: Shell, *words: str) -> list[str]:
    return sorted(name for (name,) in await shell.lines("get", *words, "-o", "name"))


async def test_nodes_are_found_by_fields_and_parts_of_names(fleet: Shell) -> None:
    assert await names(fleet, "no", "--field-selector", "status.apps.web=failed") == ["node/n2"]
    assert await names(fleet, "nodes", "press-*") == ["node/press-1"]
    assert await names(fleet, "node/n*") == ["node/n1", "node/n2"]
    assert await names(fleet, "cm", "s*") == ["config/site"]
    words = ("nodes", "-l", "role=gateway", "--field-selector", "status.state=never")
    assert await names(fleet, *words) == ["node/press-1"]
    refused = await fleet.run("get", "nodes", "--field-selector", "status.sate=never", code=1)
    assert "did you mean status.state?" in refused.stderr
    await fleet.run("get", "node", "n1", "--field-selector", "status.state=never", code=2)


async def test_tables_have_labels_addresses_and_an_order(fleet: Shell) -> None:
    titles, *lines = await fleet.lines("get", "nodes", "-L", "role,baetyl-node-name")
    assert titles[-2:] == ["ROLE", "BAETYL-NODE-NAME"]
    assert all(line[-2:] == ["gateway", line[0]] for line in lines)
    shown = (await fleet.run("get", "nodes", "--show-labels")).stdout
    assert "baetyl-node-name=n1,role=gateway" in shown
    wide = (await fleet.run("get", "node", "n1", "-o", "wide")).stdout
    for text in ("ADDRESS", "10.0.0.7", "Debian 13", "arm64", "1.4.0"):
        assert text in wide
    by_path = await fleet.lines("get", "nodes", "--sort-by", ".state.lastReport", "-o", "name")
    assert by_path[-1] == ["node/press-1"]
    by_title = await fleet.lines("get", "nodes", "--sort-by", "name", "-o", "name")
    assert by_title == sorted(by_title)
    titles, app = await fleet.lines("get", "apps")
    assert dict(zip(titles, app, strict=False))["READY"] == "1/3"


async def test_programs_choose_what_they_are_given(fleet: Shell) -> None:
    async def printed(template: str, *words: str) -> str:
        return (await fleet.run("get", *(words or ("nodes",)), "-o", template)).stdout

    assert await printed("jsonpath={.name} {.state.name}", "node", "n1") == "n1 online\n"
    assert (await printed("jsonpath={.items[*].name}")).split() == ["n1", "n2", "press-1"]
    lines = await printed('jsonpath={range .items[*]}{.name}{"\\t"}{.ready}{"\\n"}{end}')
    assert lines.splitlines()[0] == "n1\ttrue"
    columns = await printed("custom-columns=NODE:.name,AS:.labels.role")
    assert columns.split()[:4] == ["NODE", "AS", "n1", "gateway"]
    for template in ("jsonpath={.a b}", "jsonpath={end}", "custom-columns=NODE", "tabel"):
        await fleet.run("get", "nodes", "-o", template, code=2)


async def test_all_kinds_are_listed_at_once(fleet: Shell) -> None:
    found = await names(fleet, "all")
    assert {"node/n1", "app/web", "config/site", "secret/password"} <= set(found)
    labelled = await names(fleet, "all", "-l", "role=gateway")
    assert labelled == ["node/n1", "node/n2", "node/press-1"]


async def test_a_list_is_followed(fleet: Shell) -> None:
    await fleet.world.feed.round()
    environment = {key: value for key, value in {**os.environ, **fleet.env}.items() if value}
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgesync", "get", "nodes", "-w", "-L", "site"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    output = command.stdout
    assert output is not None
    async with asyncio.timeout(30 * UNIT):
        before = [await output.readline() for _ in range(4)]
        assert before[0].split()[-1] == b"SITE"
        body = {"labels": {"role": "gateway", "site": "north"}}
        await fleet.world.client.call("PUT", "/v1/nodes/n1", body)
        await fleet.world.feed.round()
        row = (await output.readline()).split()
        assert (row[0], row[-1]) == (b"n1", b"north")
        command.send_signal(signal.SIGINT)
        assert await command.wait() == 0


async def test_the_failed_node_is_one_command_away(fleet: Shell) -> None:
    explained = (await fleet.run("explain", "app", "web")).stdout
    assert "web: 1 of 3 nodes run version" in explained
    assert f"1 x {CAUSE}" in explained
    [line] = [one for one in explained.splitlines() if one.startswith("n2 ")]
    assert CAUSE in line
    content: Any = json.loads((await fleet.run("explain", "app/web", "-o", "json")).stdout)
    assert [one["name"] for one in content["items"]] == ["n2"]
    glance = (await fleet.run("top")).stdout
    assert f"web failed on 1:\n  n2: {CAUSE}" in glance
    for words in (("wait", "app/web"), ("rollout", "status", "web")):
        refused = await fleet.run(*words, "--timeout", "0", code=1)
        assert f"n2: {CAUSE}" in refused.stderr
    assert (await fleet.lines("top", "node", "--field-selector", "status.state=online"))[1][0] in {
        *("n1", "n2")
    }


async def test_the_one_that_failed_among_10_000_is_found_with_one_command(fleet: Shell) -> None:
    def more(tx: Transaction) -> None:
        now = fleet.world.clock.now
        for number in range(10_000):
            spec = NodeSpec(labels={"role": "gateway"})
            tx.put_node(Node("default", f"many-{number}", spec, now, now))

    await fleet.world.store.write(more)
    explained = (await fleet.run("explain", "app", "web")).stdout
    assert "1 of 10003 nodes run version" in explained
    assert [line.split()[0] for line in explained.splitlines()[2:] if CAUSE in line] == ["1", "n2"]


async def test_names_of_kubectl_lead_to_what_is_there(fleet: Shell) -> None:
    assert (await fleet.lines("rollout", "history", "app", "web"))[0][0] == "REVISION"
    await fleet.world.client.call("PATCH", "/v1/apps/web", {"description": "x"})
    assert (await fleet.lines("rollout", "undo", "app", "web"))[0][:2] == ["undone", "app/web"]
    await fleet.run("rollout", "status", "node", "n1", code=2)
    await fleet.run("config", "current-context", code=1)
    await fleet.run("login", fleet.world.url, stdin="a token for tests\n")
    assert (await fleet.lines("config", "current-context")) == [["default"]]
    assert (await fleet.run("config", "use-context", "default")).exit_code == 0
    assert "Server:" in (await fleet.run("version")).stdout
    assert "rollout status" in (await fleet.run("help", "rollout", "status")).stdout
    for words, likely in ((["gte", "nodes"], "get"), (["rollout", "histroy"], "history")):
        assert f"Did you mean {likely!r}?" in (await fleet.run(*words, code=2)).stderr
    assert "did you mean nodes?" in (await fleet.run("get", "nodez", code=2)).stderr


async def test_nodes_are_labelled_and_shut_out(fleet: Shell) -> None:
    await fleet.run("node", "label", "n1", "n2", "site=north")
    assert await names(fleet, "nodes", "-l", "site=north") == ["node/n1", "node/n2"]
    await fleet.run("node", "revoke", "n1", code=2)
    assert (await fleet.lines("node", "revoke", "n1", "--yes"))[0][:2] == ["revoked", "node/n1"]
    assert "install" in (await fleet.run("node", "install-command", "n1")).stdout


async def test_devices_are_brought_in_from_the_shell(shell: Shell) -> None:
    await shell.world.client.call("POST", "/v1/register", {"name": "line"})
    described = (await shell.run("describe", "batch", "line")).stdout
    assert "Warning: no device can activate" in described
    await shell.world.store.write(
        lambda tx: tx.record_refused_device(
            *("default", "line", "SN-9", RefusalReason.UNPROVEN),
            address="192.0.2.9",
            now=shell.world.clock.now,
        )
    )
    listed = (await shell.run("describe", "batch", "line")).stdout
    assert "SN-9" in listed.partition("Refused devices:")[2]
    assert "give the device the batch's securityType and securityKey" in listed
    commands = [line.split() for line in described.splitlines() if line.startswith("  edgesync ")]
    [_, *add], [_, *whitelist] = commands
    assert (await shell.run(*whitelist)).exit_code == 0
    assert "Warning" not in (await shell.run("describe", "batch", "line")).stdout
    assert "Warning" in (await shell.run("batch", "whitelist", "line", "on")).stderr
    await shell.run(*add[:-1], "SN-1", "SN-2")
    file = shell.file("fingerprints.txt", "# of May\nSN-3\n\nSN-1\n")
    refused = await shell.run("batch", "add", "line", "-f", file, code=1)
    assert "1 of 2 records were not added" in refused.stderr
    assert (await shell.run("batch", "download", "line")).stdout.split() == ["SN-1", "SN-2", "SN-3"]
    await shell.run("batch", "add", "line", code=2)
    assert "install" in (await shell.run("batch", "install-command", "line")).stdout


async def test_names_are_completed_from_the_server(fleet: Shell) -> None:
    async def completed(*words: str) -> list[str]:
        """The values that bash would offer for the last word."""
        variables = {"COMP_WORDS": " ".join(["edgesync", *words]), "COMP_CWORD": str(len(words))}
        runner = CliRunner(env={**fleet.env, **variables, "_EDGESYNC_COMPLETE": "bash_complete"})
        run = partial(runner.invoke, main, (), prog_name="edgesync")
        printed = await asyncio.to_thread(run)
        return [line.partition(",")[2] for line in printed.stdout.splitlines() if line]

    assert "nodes" in await completed("get", "no")
    assert await completed("get", "nodes", "pr") == ["press-1"]
    assert await completed("describe", "node/n") == ["node/n1", "node/n2"]
    assert await completed("describe", "node", "pr") == ["press-1"]
    assert await completed("logs", "n") == ["n1", "n2"]
    assert await completed("get", "nodes", "-n", "def") == ["default"]
    fleet.env["EDGESYNC_URL"] = "http://127.0.0.1:9"
    assert await completed("get", "nodes", "pr") == []
