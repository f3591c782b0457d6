"""`edgesync token` from another machine, as far as the server can tell: over TLS, by its CA."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import Server, running_server
from tests.preloaded import run_edgesync


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that listens on every address."""
    data = tmp_path_factory.mktemp("remote") / "data"
    with running_server(data, "--host", "0.0.0.0") as server:  # noqa: S104
        yield server


def run(remote: Server, ca: str | Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return run_edgesync(
        *("token", "--url", remote.api, "--ca", str(ca)),
        *("--token-file", remote.admin_token_file, *words),
    )


def test_a_token_is_made_shown_and_taken_back_over_tls(remote: Server) -> None:
    assert remote.api.startswith("https://")
    made = run(remote, remote.ca, "create", "ci", "--role", "viewer", "--namespace", "shop")
    assert made.returncode == 0, made.stderr
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    with httpx.Client(base_url=remote.api, verify=remote.context(), headers=headers) as client:
        assert client.get("/v1/nodes").status_code == 200
        assert client.post("/v1/nodes", json={"name": "n"}).json()["code"] == "RequestForbidden"
        shown = run(remote, remote.ca, "list", "--namespace", "*")
        assert [line.split()[:3] for line in shown.stdout.splitlines()[1:]] == [
            ["shop", "ci", "viewer"]
        ]
        assert made.stdout.strip() not in shown.stdout
        assert client.get("/v1/nodes").status_code == 200
        gone = run(remote, remote.ca, "revoke", "ci", "--namespace", "shop")
        assert gone.returncode == 0, gone.stderr
        assert client.get("/v1/nodes").status_code == 401


def test_no_token_is_shown_to_a_server_that_the_authority_does_not_know(
    remote: Server, tmp_path: Path
) -> None:
    with running_server(tmp_path / "other") as other:
        for ca, words in ((other.ca, "certificate"), (tmp_path / "nowhere.pem", "nowhere.pem")):
            refused = run(remote, ca, "list")
            assert refused.returncode != 0
            assert words in refused.stderr
            assert "Traceback" not in refused.stderr
