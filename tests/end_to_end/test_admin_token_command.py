"""`edgesync admin-token` beside a running server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import Server, running_server
from tests.plain_http import NO_TLS
from tests.preloaded import run_edgesync


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("admin") / "data") as server:
        yield server


def run(data: Path, verb: str) -> str:
    ended = run_edgesync("admin-token", verb, "--data-dir", str(data))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def status(server: Server, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(
        f"{server.api}/v1/nodes", headers=headers, trust_env=False, verify=NO_TLS
    ).status_code


def test_the_token_is_replaced_at_once_with_a_session_that_began_with_it(server: Server) -> None:
    old = server.token
    with httpx.Client(base_url=server.api, trust_env=False, verify=NO_TLS) as browser:
        own = {"X-Edgesync-CSRF": "1", "Origin": server.api}
        assert browser.post("/session", json={"token": old}, headers=own).status_code == 200
        assert browser.get("/v1/nodes").status_code == 200
        output = run(server.data_dir, "rotate")
        assert browser.get("/v1/nodes").status_code == 401
    assert server.token != old
    assert server.token not in output
    assert Path(server.admin_token_file).stat().st_mode & 0o777 == 0o600
    assert (status(server, old), status(server, server.token)) == (401, 200)


def test_a_token_that_is_switched_off_opens_nothing_and_the_command_brings_it_back(
    server: Server,
) -> None:
    run(server.data_dir, "disable")
    assert status(server, server.token) == 401
    assert "state: off" in run(server.data_dir, "show")
    assert "switched off" in run(server.data_dir, "rotate")
    assert status(server, server.token) == 401
    run(server.data_dir, "enable")
    assert status(server, server.token) == 200
    assert "state: on" in run(server.data_dir, "show")
    with server.client() as admin:
        entries = admin.get("/v1/audit?namespace=*&limit=500").json()["items"]
    done = [entry["action"] for entry in entries if entry["action"].startswith("admintoken.")]
    assert {"admintoken.rotate", "admintoken.disable", "admintoken.enable"} <= set(done)
    verified = run_edgesync("audit", "verify", "--data-dir", str(server.data_dir))
    assert verified.returncode == 0, verified.stderr


def test_a_lost_file_is_made_by_the_command_and_not_by_a_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        first = server.token
    run(data, "rotate")  # no server runs
    (data / "admin.token").unlink()
    with running_server(data) as server:
        assert not (data / "admin.token").exists()
        assert "edgesync admin-token rotate" in server.log()
        assert "there is no" in run(data, "show")
        assert status(server, first) == 401
        run(data, "rotate")
        assert status(server, server.token) == 200


def test_a_directory_without_a_server_is_named(tmp_path: Path) -> None:
    ended = run_edgesync("admin-token", "disable", "--data-dir", str(tmp_path))
    assert ended.returncode == 1
    assert "there is no" in ended.stderr
