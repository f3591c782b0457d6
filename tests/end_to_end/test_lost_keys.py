"""A key that is gone from a data directory in use: never replaced without being asked for."""

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.conftest import make_batch, running_server
from tests.end_to_end.test_serve import serve
from tests.preloaded import run_edgesync

FREE = tuple(f"--{name}-port=0" for name in ("api", "activation", "mqtt", "sync"))


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("used") / "data"
    with running_server(data) as server:
        with server.client() as api:
            make_batch(api)
        assert server.stop() == 0
    return data


@pytest.fixture
def data(used: Path, tmp_path: Path) -> Path:
    shutil.copytree(used, tmp_path / "data")
    return tmp_path / "data"


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def verified(data: Path) -> int:
    return run_edgesync("audit", "verify", "--data-dir", str(data)).returncode


@pytest.mark.parametrize("name", ["audit.key", "secrets.key", "ca"])
def test_a_missing_key_is_refused_and_none_is_made(data: Path, name: str) -> None:
    remove(data / name)
    ended = serve("--data-dir", str(data), *FREE)
    assert ended.returncode == 1
    assert f"{name}: missing in {data}" in ended.stderr
    assert "restore it from a backup" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (data / name).exists()


def test_another_audit_key_is_refused(data: Path) -> None:
    (data / "audit.key").write_bytes((data / "secrets.key").read_bytes())
    ended = serve("--data-dir", str(data), *FREE)
    assert ended.returncode == 1
    assert "audit.key is not the key of this database's audit log" in ended.stderr


def test_what_is_lost_is_replaced_when_that_is_asked_for(data: Path) -> None:
    assert verified(data) == 0
    remove(data / "audit.key")
    remove(data / "ca")
    with running_server(data, "--replace-lost-keys") as server:
        assert "ERROR cloud.app: audit.key, ca: lost, and created anew" in server.log()
        query = {"namespace": "*", "action": "server.start"}
        with server.client() as api:
            newest, *_, oldest = api.get("/v1/audit", params=query).json()["items"]
        assert newest["also"] == {"version": oldest["also"]["version"], "newKeys": "audit.key, ca"}
        assert server.stop() == 0
    assert verified(data) == 1


def test_the_secrets_key_is_never_replaced(data: Path) -> None:
    remove(data / "secrets.key")
    ended = serve("--data-dir", str(data), "--replace-lost-keys", *FREE)
    assert ended.returncode == 1
    assert "cannot be opened without secrets.key" in ended.stderr
    assert not (data / "secrets.key").exists()


@pytest.mark.parametrize("command", ["rekey", "ca rotate"])
def test_no_command_makes_a_key_that_is_missing(data: Path, command: str) -> None:
    remove(data / "audit.key")
    ended = run_edgesync(*command.split(), "--data-dir", str(data))
    assert "audit.key: missing" in ended.stderr
    assert not (data / "audit.key").exists()


def test_an_administrators_token_is_made_anew_with_a_warning(data: Path) -> None:
    before = (data / "admin.token").read_text()
    remove(data / "admin.token")
    with running_server(data) as server:
        assert server.token != before.strip()
        assert f"WARNING cloud.app: there was no {data / 'admin.token'}" in server.log()
