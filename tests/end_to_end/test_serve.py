"""`edgesync serve` as an operator meets it."""

import os
import signal
import ssl
import stat
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import Server, claim_for, make_batch, make_csr, running_server
from tests.plain_http import NO_TLS
from tests.preloaded import run_edgesync


def serve(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a server that is expected not to start."""
    return run_edgesync("serve", *arguments, environment={**os.environ, **environ})


def test_the_first_start_leaves_nothing_that_others_can_read(server: Server) -> None:
    for path in server.data_dir.rglob("*"):
        if path.name != "test-server.log":
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert len(server.token) >= 32


def test_every_path_under_v1_needs_the_token_and_health_needs_none(server: Server) -> None:
    with httpx.Client(base_url=server.api, verify=NO_TLS) as client:
        for path in ("/health", "/livez", "/readyz", "/version"):
            assert client.get(path).status_code == 200
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": server.token}):
            for path in ("/v1/nodes", "/v1/nothing"):
                answer = client.get(path, headers=header)
                assert answer.status_code == 401
                assert answer.json()["code"] == "RequestAccessDenied"


def test_a_second_start_keeps_token_and_authority(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with running_server(tmp_path / "data") as server:
            seen.append((server.token, Path(server.ca).read_text()))
            assert server.stop(signal.SIGINT) == 0
    assert seen[0] == seen[1]


def test_beyond_loopback_the_api_speaks_tls_under_the_names_given(tmp_path: Path) -> None:
    arguments = ("--host", "0.0.0.0", "--server-name", "sync.example")  # noqa: S104
    with running_server(tmp_path / "data", *arguments) as server:
        assert server.api.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=server.ca)
        assert httpx.get(f"{server.api}/health", verify=context).json() == {"success": True}
        port = server.api.rpartition(":")[2]
        with httpx.Client(verify=context) as client:
            name = {"sni_hostname": "sync.example"}
            assert client.get(f"{server.api}/health", extensions=name).status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/health")


def test_one_data_directory_has_one_server(server: Server) -> None:
    ports = ("--api-port", "0", "--activation-port", "0", "--mqtt-port", "0", "--sync-port", "0")
    done = serve("--data-dir", str(server.data_dir), *ports)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(server.data_dir) in done.stderr


def test_a_port_that_is_taken_is_named(server: Server, tmp_path: Path) -> None:
    for setting, url in (("api", server.api), ("mqtt", server.mqtt), ("sync", server.sync)):
        ports = dict.fromkeys(("api", "activation", "mqtt", "sync"), "0")
        ports[setting] = url.rpartition(":")[2]
        flags = [part for name, port in ports.items() for part in (f"--{name}-port", port)]
        done = serve("--data-dir", str(tmp_path / setting), *flags)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert ports[setting] in done.stderr


def test_settings_that_cannot_be_used_are_a_usage_error(tmp_path: Path) -> None:
    done = serve("--data-dir", str(tmp_path), EDGESYNC_API_PROT="1")
    assert done.returncode == 2
    assert "EDGESYNC_API_PROT" in done.stderr
    assert serve("--no-such-flag").returncode == 2


def test_a_key_that_others_can_read_stops_the_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        assert server.stop() == 0
    (data / "ca" / "intermediate.key").chmod(0o644)
    ports = ("--api-port", "0", "--activation-port", "0", "--mqtt-port", "0", "--sync-port", "0")
    done = serve("--data-dir", str(data), *ports)
    assert done.returncode == 1
    assert "chmod 600" in done.stderr
    assert "Traceback" not in done.stderr


def test_limits_and_proxies_are_as_the_operator_set_them(tmp_path: Path) -> None:
    arguments = ("--denials-per-minute", "2", "--requests-per-second", "1")
    with running_server(tmp_path, *arguments, "--trusted-proxy", "127.0.0.0/8") as server:
        with httpx.Client(base_url=server.api, verify=NO_TLS) as client:

            def statuses(path: str, address: str, times: int) -> list[int]:
                header = {"X-Forwarded-For": address}
                return [client.get(path, headers=header).status_code for _ in range(times)]

            assert statuses("/v1/nodes", "192.0.2.1", 3) == [401, 401, 429]
            assert statuses("/v1/nodes", "192.0.2.2", 1) == [401]
            assert 429 in statuses("/health", "192.0.2.1", 40)
            assert statuses("/health", "192.0.2.2", 1) == [200]
        with server.client() as api, server.devices() as devices:
            batch = make_batch(api)
            _, csr = make_csr()
            body = claim_for(batch, "fp-1", csr)
            header = {"X-Forwarded-For": "192.0.2.3"}
            assert devices.post("/v1/active", json=body, headers=header).status_code == 200
            (record,) = api.get("/v1/register/b1/record").json()["items"]
            assert record["activeIp"] == "192.0.2.3"
            answers = [devices.post("/v1/active", headers=header) for _ in range(40)]
            assert 429 in {answer.status_code for answer in answers}


def test_the_log_of_a_server_names_the_request(server: Server) -> None:
    with server.client() as api:
        assert api.get("/v1/nodes/missing", headers={"x-bce-request-id": "mine"}).status_code == 404
    (line,) = [line for line in server.log().splitlines() if "/v1/nodes/missing" in line]
    words = "INFO cloud.http.app: request mine: GET '/v1/nodes/missing' answered 404"
    assert line.endswith(words)
