"""Commands that an installed agent carries out, over the API."""

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from edgesync_agent import VERSION
from tests.end_to_end.conftest import wait_for
from tests.end_to_end.test_install_command import InstalledMachine, command_for, installed


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[InstalledMachine]:
    one = InstalledMachine(tmp_path / "machine")
    yield one
    if (one.state / "agent.pyz").exists():
        one.agent("stop")


def test_an_agent_is_replaced_by_the_servers(api: httpx.Client, machine: InstalledMachine) -> None:
    api.post("/v1/nodes", json={"name": "gate"})
    installed(machine.run(command_for(api, "nodes/gate")))
    program = machine.state / "agent.pyz"
    current = program.read_bytes()
    machine.agent("stop")
    older = io.BytesIO(b"#!/usr/bin/env python3\n")
    older.seek(0, io.SEEK_END)
    with zipfile.ZipFile(io.BytesIO(current)) as source, zipfile.ZipFile(older, "a") as made:
        for name in source.namelist():
            content = source.read(name).replace(VERSION.encode(), b"edgesync-agent of old")
            made.writestr(name, content)
    program.write_bytes(older.getvalue())
    installed(machine.run(f"nohup python3 {program} run >> {machine.state}/log 2>&1 &"))
    installed(machine.agent("wait"))

    def core() -> Any:
        report = api.get("/v1/nodes/gate/stats").json()["report"]
        return report and report["core"]

    wait_for(lambda: core()["binVersion"] == "edgesync-agent of old", "the old agent's report")
    number = int((machine.state / "agent.pid").read_text())
    digest = hashlib.sha256(current).hexdigest()[:12]
    for text in (f"{VERSION} ({digest}) runs", f"{VERSION} ({digest}) runs already"):
        body = {"command": "update", "seconds": 120}
        given = api.post("/v1/nodes/gate/commands", json=body).json()
        ended = api.get(f"/v1/nodes/gate/commands/{given['id']}?wait=60").json()
        assert ended["status"] == "done", (ended, (machine.state / "log").read_text())
        assert ended["output"] == f"{text}\n"
    assert program.read_bytes() == current
    assert int((machine.state / "agent.pid").read_text()) == number
    wait_for(lambda: core()["gitRevision"] == digest, "the new agent's report")
    assert not (machine.state / "agent.old.pyz").exists()
    assert not (machine.state / "update.json").exists()


def test_the_log_of_an_agent_is_followed(api: httpx.Client, machine: InstalledMachine) -> None:
    api.post("/v1/nodes", json={"name": "gate"})
    installed(machine.run(command_for(api, "nodes/gate")))
    commands = "/v1/nodes/gate/commands"
    body = {"command": "logs", "follow": True, "seconds": 6}
    given = api.post(commands, json=body).json()
    first = api.get(f"{commands}/{given['id']}?wait=30&after=0").json()
    assert "this is node default.gate" in first["output"]
    api.post(commands, json={"command": "report"})
    query = f"wait=30&after={first['outputEnd']}"
    more = api.get(f"{commands}/{given['id']}?{query}").json()
    assert "asked for report: done" in more["output"]
    last = wait_for(lambda: _ended(api, f"{commands}/{given['id']}"), "the end of the log")
    assert (last["status"], last["cut"]) == ("done", False)
    assert last["output"].startswith(first["output"] + more["output"])
    given = api.post(commands, json={"command": "diagnose"}).json()
    ended = api.get(f"{commands}/{given['id']}?wait=30").json()
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(ended["output"]))) as archive:
        assert "edgesync-diagnose/machine.json" in archive.getnames()


def _ended(api: httpx.Client, path: str) -> Any:
    command = api.get(path).json()
    return command if command["status"] == "done" else None
