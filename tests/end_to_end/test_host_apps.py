"""Apps that are processes of the machine, from the API to the kernel, and their agent's life."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from edgesync_agent.kernel import processes, variable_of
from edgesync_agent.shims import MARK
from tests.end_to_end.conftest import kv, running_server, wait_for
from tests.end_to_end.test_install_command import InstalledMachine, command_for, installed

USER_ID = 65534

SCRIPT = """#!/bin/sh
trap 'exit 0' TERM
echo "version $1 prints $(cat etc/app/greeting)"
while :; do sleep 0.2; done
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[InstalledMachine]:
    one = InstalledMachine(tmp_path / "machine")
    yield one
    if (one.state / "agent.pyz").exists():
        one.agent("uninstall")
    assert marked(one) == []


def marked(machine: InstalledMachine) -> list[int]:
    """Processes of the apps of that machine."""
    root = str(machine.state)
    marks = [(one.number, variable_of(one.number, MARK)) for one in processes()]
    return [number for number, mark in marks if mark.startswith(root)]


def describe(api: httpx.Client, script: str = SCRIPT, **fields: Any) -> None:
    """An app with a program and a file, for the node `gate`."""
    api.post("/v1/nodes", json={"name": "gate", "labels": {"role": "gateway"}})
    data = [kv("program.yml", "entry: run.sh"), kv("run.sh", script)]
    assert api.post("/v1/configs", json={"name": "program", "data": data}).is_success
    data = [kv("greeting", "hello")]
    assert api.post("/v1/configs", json={"name": "greetings", "data": data}).is_success
    answer = api.post("/v1/apps", json=app(**fields))
    assert answer.is_success, answer.text


def app(**fields: Any) -> dict[str, Any]:
    service = {
        "name": "main",
        "programConfig": "program",
        "args": ["1"],
        "restart": {"policy": "Always", "backoff": {"min": 10**8, "max": 10**8, "factor": 1}},
        "volumeMounts": [{"name": "files", "mountPath": "/etc/app", "readOnly": True}],
    }
    return {
        "name": "talker",
        "mode": "native",
        "selector": "role=gateway",
        "services": [{**service, **fields}],
        "volumes": [{"name": "files", "config": {"name": "greetings"}}],
        "progressDeadlineSeconds": 30,
    }


def status(api: httpx.Client) -> Any:
    report = api.get("/v1/nodes/gate/stats").json()["report"] or {}
    return next(iter(report.get("appstats") or []), {})


def log_of(api: httpx.Client) -> str:
    body = {"command": "logs", "app": "talker"}
    given = api.post("/v1/nodes/gate/commands", json=body).json()
    ended = api.get(f"/v1/nodes/gate/commands/{given['id']}?wait=30").json()
    assert ended["status"] == "done", ended
    output: str = ended["output"]
    return output


def is_running(api: httpx.Client) -> bool:
    return bool(status(api).get("status") == "Running")


def test_an_app_runs_on_through_all_that_happens_to_its_agent(
    tmp_path: Path, machine: InstalledMachine
) -> None:
    with running_server(tmp_path / "data") as server, server.client() as api:
        describe(api)
        output = installed(machine.run(command_for(api, "nodes/gate")))
        assert "no Docker or Podman" in output or "engine answers" in output
        wait_for(lambda: is_running(api), "the app to run")
        assert "version 1 prints hello" in log_of(api)
        before = marked(machine)
        assert before

        # The agent is killed: what it runs goes on, and the next agent takes it over.
        agent = int((machine.state / "agent.pid").read_text())
        os.kill(agent, signal.SIGKILL)
        start = f"nohup python3 {machine.state}/agent.pyz run >> {machine.state}/log 2>&1 &"
        installed(machine.run(start))
        installed(machine.agent("wait"))
        assert set(marked(machine)) & set(before)
        # `wait` may have found the report of the agent that was killed.
        shown = wait_for(
            lambda: (
                "connection   up since" in (shown := installed(machine.agent("status"))) and shown
            ),
            "the connection",
        )
        assert "node         default.gate" in shown
        assert "certificate  ends 20" in shown
        wait_for(lambda: "app          talker" in installed(machine.agent("status")), "its app")

        # An operator has it started again.
        body = {"command": "restart", "app": "talker"}
        given = api.post("/v1/nodes/gate/commands", json=body).json()
        ended = api.get(f"/v1/nodes/gate/commands/{given['id']}?wait=30").json()
        assert ended["status"] == "done", ended
        wait_for(lambda: log_of(api).count("prints hello") == 2, "the app to start again")

    # The machine goes down, and comes up without a server.
    machine.agent("stop")
    for number in marked(machine):
        with contextlib.suppress(ProcessLookupError):  # the app runs `sleep` again and again
            os.kill(number, signal.SIGKILL)
    installed(machine.run(start))
    wait_for(lambda: marked(machine), "the app to run without a server")
    assert "connection   down" in wait_for(
        lambda: "down" in (shown := installed(machine.agent("status"))) and shown, "the status"
    )

    removed = installed(machine.agent("uninstall"))
    assert "removed talker/main" in removed
    assert marked(machine) == []
    assert not machine.state.exists()


def test_a_version_that_does_not_run_goes_back_to_the_one_that_did(
    api: httpx.Client, machine: InstalledMachine
) -> None:
    describe(api)
    installed(machine.run(command_for(api, "nodes/gate")))
    wait_for(lambda: is_running(api), "the app to run")
    version = status(api)["version"]
    data = [kv("program.yml", "entry: run.sh"), kv("run.sh", "#!/bin/sh\necho broken; exit 3\n")]
    assert api.put("/v1/configs/program", json={"data": data}).is_success
    failed = wait_for(
        lambda: status(api).get("status") == "Failed" and status(api), "the new one to fail"
    )
    assert failed["version"] != version
    assert "code 3" in failed["cause"]
    wait_for(lambda: "prints hello" in log_of(api).splitlines()[-1], "the old one to run again")
    assert marked(machine)


def test_what_the_owner_of_the_machine_refuses_does_not_run(
    api: httpx.Client, machine: InstalledMachine
) -> None:
    describe(api)
    policy = machine.home / "policy.toml"
    policy.write_text("host-processes = false\n")
    installed(machine.run(command_for(api, "nodes/gate"), EDGESYNC_POLICY=str(policy)))
    failed = wait_for(lambda: status(api).get("status") == "Failed" and status(api), "the refusal")
    assert "policy of this machine refuses host processes" in failed["cause"]
    assert marked(machine) == []
    policy.write_text("")
    wait_for(lambda: is_running(api), "the app to run, once it may")


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv") or not Path("/usr/bin/python3").exists(),
    reason="needs root, to be another user, and setpriv and Python of the system",
)
def test_an_agent_needs_no_root(api: httpx.Client) -> None:
    describe(api)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)  # noqa: S103  # another user has to enter it
        machine = InstalledMachine(Path(folder) / "machine")
        (machine.tools / "python3").unlink()
        (machine.tools / "python3").symlink_to("/usr/bin/python3")
        for path in (machine.home.parent, machine.home, machine.tools):
            os.chown(path, USER_ID, USER_ID)

        def run(command: str) -> str:
            whole = f"{shutil.which('setpriv')} --reuid={USER_ID} --regid={USER_ID} --clear-groups"
            return installed(machine.run(f"exec {whole} sh -c '{command}'"))

        agent = f"python3 {machine.state}/agent.pyz"
        try:
            run(command_for(api, "nodes/gate").replace("'", "'\\''"))
            wait_for(lambda: is_running(api), "the app to run")
            assert {os.stat(f"/proc/{number}").st_uid for number in marked(machine)} == {USER_ID}
            assert "version 1 prints hello" in log_of(api)
            assert "talker" in run(f"{agent} status")
        finally:
            removed = run(f"{agent} uninstall")
        assert "removed talker/main" in removed
        assert marked(machine) == []
