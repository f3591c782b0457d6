"""scripts/fleet-up: the whole fleet by one command, and away again by Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.broker.mosquitto import NEEDS_MOSQUITTO
from tests.deadlines import UNIT
from tests.end_to_end.conftest import make_batch, wait_for
from tests.end_to_end.mosquitto import listens
from tests.plain_http import NO_TLS
from tests.postgres import NEEDS_POSTGRES
from tests.repo.tracked import ROOT

pytestmark = [*NEEDS_MOSQUITTO, *NEEDS_POSTGRES, pytest.mark.timeout(540)]


@contextmanager
def running(directory: Path) -> Iterator[dict[str, Any]]:
    """Addresses by server, once all are ready; all has to be gone after Ctrl-C."""
    command = [sys.executable, str(ROOT / "scripts/fleet-up"), "--free-ports"]
    with (directory / "output").open("w+") as output:
        process = subprocess.Popen([*command, "--dir", str(directory)], stdout=output)
    try:
        wait_for(lambda: process.poll() is not None or lines(directory)[2:], "the fleet", units=120)
        *servers, last = lines(directory)
        assert last.startswith("ready")
        yield {(server := json.loads(line))["server"]: server for line in servers}
        process.send_signal(signal.SIGINT)
        assert process.wait(60 * UNIT) == 0
    finally:
        process.kill() if process.poll() is None else None
    own = str(directory).encode()
    commands = [path for path in Path("/proc").glob("[0-9]*/cmdline") if own in command_of(path)]
    assert commands == []


def lines(directory: Path) -> list[str]:
    return (directory / "output").read_text().splitlines()


def command_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def client(server: dict[str, str]) -> httpx.Client:
    token = Path(server["admin_token_file"]).read_text().strip()
    return httpx.Client(
        base_url=server["api"],
        headers={"Authorization": f"Bearer {token}"},
        verify=NO_TLS,
        timeout=20 * UNIT,
    )


def test_two_servers_share_their_state_and_find_it_after_a_restart() -> None:
    # Not under the test's own directory: PostgreSQL runs as a user that cannot read it.
    with tempfile.TemporaryDirectory(prefix="edgesync-fleet-") as name:
        directory = Path(name)
        with running(directory) as servers:
            with client(servers["one"]) as one, client(servers["two"]) as two:
                make_batch(one, "shared")
                assert two.get("/v1/register/shared").status_code == 200
            mode = os.stat(directory / "postgres.password").st_mode
            assert mode & 0o077 == 0
            node_port = int(servers["one"]["mqtt"].rpartition(":")[2])
            assert servers["two"]["mqtt"] == servers["one"]["mqtt"]
            assert listens(node_port)
        assert not listens(node_port)
        with running(directory) as servers, client(servers["two"]) as two:
            assert two.get("/v1/register/shared").status_code == 200
