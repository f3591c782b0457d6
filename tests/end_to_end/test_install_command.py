"""The command an operator copies, run in a shell of a machine that has never seen us."""

import base64
import contextlib
import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from cryptography import x509

from tests.deadlines import UNIT
from tests.edgesync_agent.oldest import NEEDS_PYTHON_3_8, PYTHON_3_8
from tests.end_to_end.conftest import Server, kv, make_app, make_csr, running_server, wait_for
from tests.end_to_end.fleet import age_certificate, make_past
from tests.ports import free_port

TOOLS = (
    *("sh", "curl", "openssl", "nohup", "mktemp", "rm", "mkdir", "chmod", "mv", "cat", "id"),
    *("env", "printf"),
)
PYTHON = Path(sys.executable).resolve()  # the one the virtual environment was made of
SHELLS = [shell for shell in ("dash", "busybox", "bash") if shutil.which(shell)]


class InstalledMachine:
    """A home directory and a PATH with little on it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        tools = folder / "bin"
        for path in (self.home, tools):
            path.mkdir(parents=True)
        for tool in TOOLS:
            if found := shutil.which(tool):
                (tools / tool).symlink_to(found)
        (tools / "python3").symlink_to(PYTHON)
        # No engine of the machine is used.
        engine = f"unix://{folder}/none.sock"
        self.environment = {"HOME": str(self.home), "PATH": str(tools), "DOCKER_HOST": engine}
        self.tools = tools

    def put(self, tool: str, script: str) -> None:
        """A tool of our own instead of the machine's."""
        path = self.tools / tool
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def use_shell(self, shell: str) -> None:
        (self.tools / "sh").unlink()
        (self.tools / "sh").symlink_to(shutil.which(shell) or shell)

    def run(self, command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.tools / "sh"), "-c", command],
            env={**self.environment, **environment},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=55 * UNIT,
        )

    @property
    def state(self) -> Path:
        return self.home / ".edgesync"

    def agent(self, command: str) -> "subprocess.CompletedProcess[str]":
        return self.run(f"python3 {self.state}/agent.pyz {command}")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[InstalledMachine]:
    one = InstalledMachine(tmp_path / "machine")
    yield one
    if (one.state / "agent.pyz").exists():
        one.agent("stop")


def installed(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def command_for(api: httpx.Client, path: str) -> str:
    answer = api.get(f"/v1/{path}/init")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"cmd"}
    command: str = body["cmd"]
    assert "\n" not in command
    assert "-k" not in command.split()
    return command


def token_in(command: str) -> str:
    found = re.search(r"token=([-\w]+)", command)
    assert found
    return found[1]


def is_ready(api: httpx.Client, name: str) -> Callable[[], bool]:
    return lambda: api.get(f"/v1/nodes/{name}").json().get("ready") is True


def files_below(folder: Path) -> dict[str, str]:
    """Files by their path; what an agent replaces meanwhile may be missing."""
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if path.is_file():
                found[str(path.relative_to(folder))] = path.read_text()
    return found


def test_the_command_of_a_node_makes_it_ready(api: httpx.Client, machine: InstalledMachine) -> None:
    api.post("/v1/nodes", json={"name": "gate", "labels": {"role": "gateway"}})
    make_app(api, selector="role=gateway")
    output = installed(machine.run(command_for(api, "nodes/gate")))
    assert "node default.gate reports in" in output
    wait_for(is_ready(api, "gate"), "the node to be ready")

    def stats() -> Any:
        report = api.get("/v1/nodes/gate/stats").json()["report"]
        return report if report["appstats"] else None

    report = wait_for(stats, "the app to be reported")
    assert report["node"]["hostname"] == socket.gethostname()
    assert int(report["nodestats"]["capacity"]["cpu"]) == os.cpu_count()
    (app,) = report["appstats"]
    assert (app["name"], app["status"]) == ("web", "Pending")
    assert app["cause"].startswith("no Docker or Podman socket found")
    assert app["failure"]["reason"] == "NoRuntime"
    assert [one["name"] for one in report["apps"]] == ["web"]

    folder = machine.state / "apps" / "web"
    version = report["apps"][0]["version"]
    files = files_below(folder / version)
    assert files["config/web-conf/a.conf"] == "x = 1"
    assert "sealed/web-password" in files
    assert not any("s3cret" in content for content in files.values())
    for path in machine.state.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the agent has replaced it meanwhile
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path

    body = {"data": [kv("a.conf", "x = 2")]}
    assert api.put("/v1/configs/web-conf", json=body).status_code == 200
    wait_for(lambda: "x = 2" in files_below(folder).values(), "the new config")
    assert api.delete("/v1/apps/web").status_code == 200
    wait_for(lambda: not folder.exists(), "the app to be gone")
    wait_for(
        lambda: api.get("/v1/nodes/gate/stats").json()["report"]["apps"] == [],
        "the report with it",
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_of_a_batch_makes_its_device_ready(
    api: httpx.Client, machine: InstalledMachine, shell: str
) -> None:
    batch = {
        "name": "line-7",
        "enableWhitelist": 0,
        "labels": {"line": "7"},
        "fingerprint": {"type": 2, "inputField": "number"},
    }
    assert api.post("/v1/register", json=batch).status_code == 200
    machine.use_shell(shell)
    command = command_for(api, "register/line-7")
    refused = machine.run(command)
    assert refused.returncode != 0
    assert "EDGESYNC_INPUT" in refused.stderr
    # What failed on the device has not used the token up.
    output = installed(machine.run(command, EDGESYNC_INPUT=" SN-1 "))
    assert "node default.sn-1 reports in" in output
    wait_for(is_ready(api, "sn-1"), "the node to be ready")
    assert api.get("/v1/nodes/sn-1").json()["labels"]["line"] == "7"
    assert api.get("/v1/register/line-7/record/sn-1").json()["active"] == 1


def test_a_combined_fingerprint_is_the_one_the_operator_listed(
    api: httpx.Client, machine: InstalledMachine
) -> None:
    joined = f"sn-1\n{socket.gethostname().strip().lower()}"
    digest = hashlib.sha256(joined.encode()).hexdigest()[:40]
    batch = {"name": "line-7", "fingerprint": {"type": 6}}
    assert api.post("/v1/register", json=batch).status_code == 200
    command = command_for(api, "register/line-7")
    refused = machine.run(command, EDGESYNC_INPUT="sn-1")
    assert refused.returncode != 0
    assert digest in refused.stderr
    record = {"fingerprintValue": digest, "nodeName": "press"}
    assert api.post("/v1/register/line-7/record", json=record).status_code == 200
    assert "default.press" in installed(machine.run(command, EDGESYNC_INPUT="SN-1 "))
    wait_for(is_ready(api, "press"), "the node to be ready")


def test_of_many_that_show_one_token_one_is_activated(server: Server, api: httpx.Client) -> None:
    api.post("/v1/nodes", json={"name": "gate"})
    api.post("/v1/register", json={"name": "open", "enableWhitelist": 0})
    _, csr = make_csr()
    for path, proof in (
        ("nodes/gate", {}),
        ("register/open", {"fingerprintValue": "sn-1"}),
    ):
        token = token_in(command_for(api, path))
        claim = {"installToken": token, "csr": csr, **proof}
        with server.devices() as devices, ThreadPoolExecutor(8) as threads:
            broken = devices.post("/v1/active", json={**claim, "csr": "x"})
            assert broken.status_code == 400
            asked = threads.map(lambda _, c=claim: devices.post("/v1/active", json=c), range(8))
            statuses = sorted(answer.status_code for answer in asked)
        assert statuses == [200] + [401] * 7


@NEEDS_PYTHON_3_8
def test_the_agent_runs_on_the_oldest_python(api: httpx.Client, machine: InstalledMachine) -> None:
    (machine.tools / "python3").unlink()
    (machine.tools / "python3").symlink_to(PYTHON_3_8)
    api.post("/v1/nodes", json={"name": "gate", "labels": {"role": "gateway"}})
    make_app(api, selector="role=gateway")
    installed(machine.run(command_for(api, "nodes/gate")))
    wait_for(lambda: api.get("/v1/nodes/gate/stats").json()["report"]["appstats"], "the report")
    assert (machine.state / "apps" / "web").is_dir()
    process = Path("/proc") / (machine.state / "agent.pid").read_text().strip() / "exe"
    assert process.resolve() == Path(PYTHON_3_8).resolve()


def test_installing_again_replaces_the_agent(api: httpx.Client, machine: InstalledMachine) -> None:
    api.post("/v1/nodes", json={"name": "gate"})
    numbers = []
    for _ in range(2):
        installed(machine.run(command_for(api, "nodes/gate")))
        numbers.append(int((machine.state / "agent.pid").read_text()))
    assert numbers[0] != numbers[1]
    wait_for(lambda: not Path(f"/proc/{numbers[0]}").exists() or _is_dead(numbers[0]), "the first")
    second = machine.agent("run")
    assert second.returncode == 1
    assert "runs here already" in second.stderr
    installed(machine.agent("stop"))
    assert "no agent was running" in installed(machine.agent("stop"))


def _is_dead(number: int) -> bool:
    """Ended, and not yet waited for by the process that took it over."""
    return " Z " in Path(f"/proc/{number}/stat").read_text()


def test_a_command_works_once(api: httpx.Client, machine: InstalledMachine, tmp_path: Path) -> None:
    api.post("/v1/nodes", json={"name": "gate"})
    command = command_for(api, "nodes/gate")
    installed(machine.run(command))
    other = InstalledMachine(tmp_path / "other")
    again = other.run(command)
    assert again.returncode != 0
    assert "401" in again.stderr
    assert not other.state.exists()


def test_a_server_with_another_authority_is_refused(
    api: httpx.Client, machine: InstalledMachine, tmp_path: Path
) -> None:
    api.post("/v1/nodes", json={"name": "gate"})
    command = command_for(api, "nodes/gate")
    with running_server(tmp_path / "impostor") as impostor:
        foreign = Path(impostor.ca).read_bytes()
    own = re.search(r" (LS0t[A-Za-z0-9+/=]+) ", command)
    assert own
    tampered = command.replace(own[1], base64.b64encode(foreign).decode())
    refused = machine.run(tampered)
    assert refused.returncode != 0
    assert "certificate" in refused.stderr
    # Nor does it help that the machine trusts the server for other reasons, or that its user
    # made curl skip the check.
    (machine.home / ".curlrc").write_text("insecure\n")
    refused = machine.run(tampered, SSL_CERT_FILE=str(tmp_path / "data" / "ca" / "root.pem"))
    assert refused.returncode != 0
    assert not machine.state.exists()


SYSTEMCTL = r"""
echo "$@" >> "$HOME/systemctl.log"
if [ "$2" = enable ]; then
    unit=$HOME/.config/systemd/user/edgesync-agent.service
    while IFS= read -r line; do
        case $line in ExecStart=*) nohup ${line#ExecStart=} > /dev/null 2>&1 & ;; esac
    done < "$unit"
fi
"""


def test_where_systemd_runs_the_agent_becomes_a_hardened_unit(
    api: httpx.Client, machine: InstalledMachine
) -> None:
    machine.put("systemctl", SYSTEMCTL)
    machine.put("id", "echo 1000")
    api.post("/v1/nodes", json={"name": "gate"})
    variables = {"DOCKER_HOST": "unix:///run/none.sock"}
    output = installed(machine.run(command_for(api, "nodes/gate"), **variables))
    assert "systemctl --user disable --now edgesync-agent" in output
    asked = (machine.home / "systemctl.log").read_text().splitlines()
    assert asked[0] == "--user show-environment"
    assert asked[-2:] == ["--user daemon-reload", "--user enable --now edgesync-agent.service"]
    unit = machine.home / ".config" / "systemd" / "user" / "edgesync-agent.service"
    program = machine.state / "agent.pyz"
    lines = unit.read_text().splitlines()
    line = f"ExecStart={machine.tools}/python3 {program} run --home {machine.state}"
    assert line in lines
    assert "Environment=DOCKER_HOST=unix:///run/none.sock" in lines
    assert {"KillMode=process", "Delegate=yes", "NoNewPrivileges=yes"} <= set(lines)
    assert "ProtectSystem=full" not in lines, "a user's systemd cannot keep that"
    wait_for(is_ready(api, "gate"), "the node to be ready")
    refused = machine.run(command_for(api, "nodes/gate"), EDGESYNC_POLICY="/etc/my policy.toml")
    assert refused.returncode != 0
    assert "EDGESYNC_POLICY without special characters" in refused.stderr
    removed = installed(machine.agent("uninstall"))
    assert f"removed the unit {unit}" in removed
    assert not unit.exists()
    asked = (machine.home / "systemctl.log").read_text().splitlines()
    ended = ["--user disable --now edgesync-agent.service", "--user daemon-reload"]
    assert asked[-2:] == ended
    assert not machine.state.exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("scope", ["--system", "--user"])
def test_systemd_accepts_the_unit(tmp_path: Path, scope: str) -> None:
    script = (files("edgesync_agent") / "install.sh").read_text()
    function = script[script.index("write_unit() {") : script.index("start_as_service() {")]
    setting = f"scope={scope} agent=/bin/true home=/tmp target=multi-user.target variables="
    made = subprocess.run(
        ["sh", "-c", f"{setting}\n{function}\nwrite_unit"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    unit = tmp_path / "edgesync-agent.service"
    unit.write_text(made.stdout)
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    about_us = [line for line in checked.stderr.splitlines() if "edgesync-agent" in line]
    assert about_us == []
    assert ("ProtectSystem=full" in made.stdout) == (scope == "--system")


def test_where_it_is_asked_for_the_agent_runs_in_the_background(
    api: httpx.Client, machine: InstalledMachine
) -> None:
    machine.put("systemctl", SYSTEMCTL)
    api.post("/v1/nodes", json={"name": "gate"})
    output = installed(machine.run(command_for(api, "nodes/gate") + " --background"))
    assert "until the machine restarts" in output
    assert not (machine.home / "systemctl.log").exists()
    refused = machine.run(command_for(api, "nodes/gate") + " --servce")
    assert refused.returncode != 0
    assert "--servce" in refused.stderr


def test_the_state_of_an_agent_is_where_its_user_keeps_state(
    api: httpx.Client, machine: InstalledMachine
) -> None:
    api.post("/v1/nodes", json={"name": "gate"})
    state = machine.home / "state"
    try:
        output = installed(machine.run(command_for(api, "nodes/gate"), XDG_STATE_HOME=str(state)))
        assert f"status --home {state}/edgesync" in output
        assert (state / "edgesync" / "identity").is_dir()
        assert not machine.state.exists()
        shown = machine.run(f"python3 {state}/edgesync/agent.pyz status", XDG_STATE_HOME=str(state))
        assert "default.gate" in installed(shown)
    finally:
        machine.run(f"python3 {state}/edgesync/agent.pyz uninstall --home {state}/edgesync")


def test_the_agent_comes_back_when_the_server_does(
    tmp_path: Path, machine: InstalledMachine
) -> None:
    port = ("--mqtt-port", str(free_port()))
    with running_server(tmp_path / "data", *port) as server:
        with server.client() as api:
            api.post("/v1/nodes", json={"name": "gate"})
            installed(machine.run(command_for(api, "nodes/gate")))
        server.stop()
    with running_server(tmp_path / "data", *port) as server, server.client() as api:

        def is_connected() -> bool:
            return (machine.state / "agent.log").read_text().count(" connected\n") == 2

        wait_for(is_connected, "the agent to connect again")
        assert api.delete("/v1/nodes/gate").status_code == 200

        def is_refused() -> bool:
            return "refuses this node" in (machine.state / "agent.log").read_text()

        wait_for(is_refused, "the agent to be refused")


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
def test_the_installer_is_clean_to_shellcheck() -> None:
    script = files("edgesync_agent") / "install.sh"
    checked = subprocess.run(
        ["shellcheck", str(script)], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout


def test_without_the_tools_it_names_what_is_missing(
    api: httpx.Client, machine: InstalledMachine
) -> None:
    api.post("/v1/nodes", json={"name": "gate"})
    (machine.tools / "openssl").unlink()
    machine.put("python3", f'exec {PYTHON} -S "$@"')
    refused = machine.run(command_for(api, "nodes/gate"))
    assert refused.returncode != 0
    assert "apt-get install openssl" in refused.stderr


def test_a_server_is_reached_by_the_name_it_was_given(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--server-name", "edge.example.com") as server:
        with server.client() as api:
            api.post("/v1/nodes", json={"name": "gate"})
            command = command_for(api, "nodes/gate")
        port = server.activation.rpartition(":")[2]
        assert f'"https://edge.example.com:{port}/v1/init/install.sh?token=' in command


def test_the_installer_and_the_agent_are_for_who_has_a_token(
    server: Server, api: httpx.Client
) -> None:
    api.post("/v1/nodes", json={"name": "gate"})
    token = token_in(command_for(api, "nodes/gate"))
    with server.devices() as devices:
        for path in ("install.sh", "agent.pyz"):
            for guess in ("", "x", token[:-1], token.swapcase(), token + "=", "%00", "%ff"):
                answer = devices.get(f"/v1/init/{path}?token={guess}")
                assert answer.status_code == 401, guess
                assert answer.json()["code"] == "RequestAccessDenied"
            assert devices.get(f"/v1/init/{path}").status_code == 401
            answer = devices.get(f"/v1/init/{path}?token={token}")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/octet-stream"
        for path in ("", "x", "..", "agent.py", "install.sh/"):
            answer = devices.get(f"/v1/init/{path}?token={token}")
            assert answer.status_code == 404
            assert answer.json()["code"] == "RequestMethodNotFound"
    database = (server.data_dir / "edgesync.db-wal").read_bytes()
    assert token.encode() not in database + (server.data_dir / "edgesync.db").read_bytes()
    assert token not in server.log()


def test_an_agent_renews_when_it_is_time_and_when_it_is_too_late(
    tmp_path: Path, machine: InstalledMachine
) -> None:
    """Its certificate is changed for one of the same key that is as old as the test wants it."""
    data = tmp_path / "data"
    anyio.run(make_past, data, {})
    ports = ("--activation-port", str(free_port()), "--mqtt-port", str(free_port()))
    with running_server(data, *ports) as server, server.client() as api:
        api.post("/v1/nodes", json={"name": "gate"})
        installed(machine.run(command_for(api, "nodes/gate")))
    file = machine.state / "identity" / "cert.pem"
    for age in (85, 95):
        machine.agent("stop")
        aged = anyio.run(age_certificate, data, file.read_text(), age)
        file.write_text(aged)
        with running_server(data, *ports):
            start = f"nohup python3 {machine.state}/agent.pyz run > {machine.state}/log 2>&1 &"
            installed(machine.run(start))
            assert "reports in" in installed(machine.agent("wait"))
            wait_for(lambda: file.read_text() != aged, "another certificate")  # noqa: B023
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
            assert (certificate.not_valid_after_utc - datetime.now(UTC)).days == 89
            wait_for(lambda: not file.with_name("cert.old.pem").exists(), "the end of the old one")
