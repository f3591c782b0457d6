"""The units of systemd: well formed, hardened, and nothing that the server needs is forbidden."""

import ctypes
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import httpx
import pytest

from edgesync.admin.serve import serve
from tests.end_to_end.conftest import running_server
from tests.repo.tracked import ROOT, text_of

UNIT = ROOT / "deploy/systemd/edgesync.service"
MOST_EXPOSED = {"edgesync": 2.0, "edgesync-agent": 8.5}
"""Of what `systemd-analyze security` counts, from 0 to 10."""

PR_SET_MDWE = 65
"""prctl(2), Linux 6.3: what MemoryDenyWriteExecute of systemd asks for."""


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("systemd-analyze is not installed")
        pytest.skip("systemd-analyze is not installed")
    command = [program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(params=MOST_EXPOSED)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit with a program that is there."""
    copy = tmp_path / f"{request.param}.service"
    text = text_of(UNIT.with_name(copy.name))
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M))
    return copy


def test_systemd_takes_it_without_a_warning(unit: Path) -> None:
    found = analyze("verify", "--man=no", str(unit))
    assert (found.returncode, found.stderr) == (0, "")


def test_a_setting_that_there_is_not_would_be_found(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectSystem=", "ProtectSysten="))
    assert "Unknown key" in analyze("verify", "--man=no", str(unit)).stderr


def test_it_leaves_little_open(unit: Path) -> None:
    limit = MOST_EXPOSED[unit.stem]
    threshold = f"--threshold={limit * 10:.0f}"
    found = analyze("security", "--offline=true", threshold, "--no-pager", str(unit))
    assert found.returncode == 0, found.stdout
    [exposed] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", found.stdout)
    assert 0 < float(exposed) <= limit


def test_it_starts_the_server_with_options_that_there_are() -> None:
    [line] = re.findall(r"^ExecStart=(.*)$", text_of(UNIT), flags=re.M)
    _, command, *arguments = shlex.split(line)
    assert command == "serve"
    context = serve.make_context("serve", arguments, resilient_parsing=True)
    assert isinstance(context, click.Context)
    directory = re.search(r"^WorkingDirectory=(.*)$", text_of(UNIT), flags=re.M)
    assert directory is not None
    assert context.params["data_dir"] == Path(directory[1])


def test_the_server_runs_where_no_memory_is_writable_and_executable(tmp_path: Path) -> None:
    if ctypes.CDLL(None).prctl(PR_SET_MDWE + 1, 0, 0, 0, 0) < 0:
        pytest.skip("this kernel cannot forbid such memory")
    forbid = (
        "import ctypes, os, sys; "
        f"assert ctypes.CDLL(None).prctl({PR_SET_MDWE}, 1, 0, 0, 0) == 0; "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    wrapper = [sys.executable, "-c", forbid]
    with running_server(tmp_path / "data", wrapper=wrapper) as server:
        assert " rwx" not in Path(f"/proc/{server.process.pid}/maps").read_text()
        assert httpx.get(f"{server.api}/readyz").status_code == 200
        with server.client() as api:
            assert api.get("/metrics").status_code == 200
