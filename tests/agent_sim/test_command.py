"""`edgesync sim`, as typed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent_sim.command import sim
from agent_sim.faults import CAUSE
from agent_sim.fingerprint import Property, Sources, fingerprint
from agent_sim.state import NodeDirectory
from broker.messages import Encoding
from tests.agent_sim.authority import SimulatorAuthority
from tests.agent_sim.conftest import (
    DEADLINE_SECONDS,
    ActivationServer,
    Responder,
    SimulatorBroker,
)

PROGRAM = "from agent_sim.command import sim; sim()"


@pytest.fixture
def arguments(
    activation_server: ActivationServer,
    authority: SimulatorAuthority,
    tmp_path: Path,
    silent_port: int,
) -> dict[str, str]:
    return {
        "--batch": "b",
        "--activation": activation_server.url,
        "--mqtt": f"127.0.0.1:{silent_port}",
        "--ca": str(authority.root_file),
        "--state-dir": str(tmp_path / "sim"),
        "--interval": "0.2",
        "--apply-delay": "0",
    }


def words(arguments: dict[str, str], *flags: str) -> list[str]:
    return [word for pair in arguments.items() for word in pair] + list(flags)


def run(arguments: dict[str, str], *flags: str) -> Result:
    return CliRunner().invoke(sim, words(arguments, *flags), catch_exceptions=False)


def start(arguments: dict[str, str], *flags: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words(arguments, *flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "EDGESYNC_SIM_TOKEN": "secret"},
    )


@pytest.mark.mosquitto
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_fleet_logs_what_happens_and_ends_on_a_signal(
    arguments: dict[str, str],
    activation_server: ActivationServer,
    mosquitto: SimulatorBroker,
    responder: Responder,
    number: signal.Signals,
) -> None:
    responder.model.put_app("web")
    arguments = {**arguments, "--mqtt": f"127.0.0.1:{mosquitto.port}", "--count": "2"}
    seen = ""
    with start(arguments) as process:
        assert process.stderr is not None
        while seen.count(" applied web version 1\n") < 2:
            line = process.stderr.readline()
            assert line, seen
            seen += line
        process.send_signal(number)
        output, rest = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, rest
    assert "2 nodes: 2 activated, 2 connected" in output
    for line in ("default.sim-0001 connected", "sim-0002 activated as default.sim-0002"):
        assert line in seen
    assert [r["securityValue"] for r in activation_server.requests] == ["secret", "secret"]


@pytest.mark.mosquitto
def test_both_encodings_alternate(
    arguments: dict[str, str], mosquitto: SimulatorBroker, responder: Responder
) -> None:
    responder.model.put_app("web")
    arguments = {**arguments, "--mqtt": f"127.0.0.1:{mosquitto.port}", "--count": "2"}
    result = run(arguments, "--duration", "3", "--quiet")
    assert result.exit_code == 0
    assert "2 converged" in result.output
    assert responder.encodings == {
        "default.sim-0001": Encoding.JSON,
        "default.sim-0002": Encoding.MSGPACK,
    }


@pytest.mark.mosquitto
def test_a_fault_is_shown_by_its_share_of_the_fleet(
    arguments: dict[str, str], mosquitto: SimulatorBroker, responder: Responder
) -> None:
    responder.model.put_app("web")
    rule = f"web@{responder.model.versions['web']}:50%"
    arguments = {**arguments, "--mqtt": f"127.0.0.1:{mosquitto.port}", "--count": "4"}
    seen = ""
    with start(arguments, "--fail", rule) as process:
        assert process.stderr is not None
        while seen.count(" applied web ") + seen.count(" failed to start web ") < 4:
            line = process.stderr.readline()
            assert line, seen
            seen += line
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_SECONDS)
    assert seen.count(" applied web ") == 2
    assert seen.count(f" failed to start web version 1: {CAUSE}") == 2


def test_a_fault_that_cannot_be_read_is_refused_with_the_reason(arguments: dict[str, str]) -> None:
    result = run(arguments, "--slow", "web@3")
    assert result.exit_code == 2
    assert "'web@3': not APP@VERSION:SHARE%" in result.output


def test_without_any_activation_the_exit_code_is_one(
    arguments: dict[str, str], activation_server: ActivationServer
) -> None:
    activation_server.answer = lambda _: (401, {"code": "RequestAccessDenied", "message": "no"})
    result = run(arguments, "--duration", "0.5")
    assert result.exit_code == 1
    assert "1 nodes: 0 activated" in result.output
    assert activation_server.requests[0]["securityType"] == "None"


def test_nodes_that_are_activated_are_not_activated_again(
    arguments: dict[str, str], activation_server: ActivationServer, tmp_path: Path
) -> None:
    for _ in range(2):
        assert run({**arguments, "--count": "3"}, "--duration", "2").exit_code == 0
    assert len(activation_server.requests) == 3
    names = sorted(path.name for path in (tmp_path / "sim").iterdir())
    assert names == ["sim-0001", "sim-0002", "sim-0003"]


def test_the_host_node_claims_the_fingerprint_of_this_machine(
    arguments: dict[str, str], activation_server: ActivationServer, tmp_path: Path
) -> None:
    serial = tmp_path / "serial"
    serial.write_text("SN-7\n")
    mask = int(Property.SN | Property.HOSTNAME)
    flags = ["--host-node", "--fingerprint-type", str(mask), "--sn-path", str(serial)]
    result = run({**arguments, "--count": "2"}, *flags, "--duration", "1")
    assert result.exit_code == 0
    claimed = {request["fingerprintValue"] for request in activation_server.requests}
    assert claimed == {fingerprint(mask, Sources(serial)), "sim-0002"}
    assert NodeDirectory(tmp_path / "sim" / "host").node_id() is not None


def test_fingerprints_that_are_no_directory_names_get_a_safe_one(
    arguments: dict[str, str], tmp_path: Path
) -> None:
    arguments["--fingerprint"] = "../a {index}"
    run(arguments, "--duration", "0.1")
    [directory] = (tmp_path / "sim").iterdir()
    assert directory.name.startswith("node-")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("--activation", "http://127.0.0.1:9003"),
        ("--activation", "https://127.0.0.1:9003/v1/active"),
        ("--mqtt", "localhost"),
        ("--mqtt", "localhost:x"),
        ("--mqtt", "localhost:70000"),
        ("--fingerprint", "{other}"),
        ("--fingerprint", "{"),
        ("--fingerprint", "same"),
        ("--count", "0"),
        ("--interval", "0"),
        ("--encoding", "xml"),
        ("--fingerprint-type", "64"),
    ],
)
def test_what_is_typed_wrong_is_a_usage_error(
    arguments: dict[str, str], name: str, value: str
) -> None:
    result = run({"--count": "2", **arguments, name: value})
    assert result.exit_code == 2
    assert name in result.output


def test_a_file_that_is_missing_is_named(arguments: dict[str, str], tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere.pem")
    result = run({**arguments, "--ca": missing})
    assert result.exit_code == 1
    assert missing in result.output


def test_a_damaged_directory_is_named(arguments: dict[str, str], tmp_path: Path) -> None:
    assert run(arguments, "--duration", "1").exit_code == 0
    apps = tmp_path / "sim" / "sim-0001" / "apps.json"
    apps.write_text("damaged")
    result = run(arguments, "--duration", "5")
    assert result.exit_code == 1
    assert str(apps) in result.output
