"""A real server in a process of its own, and what operators and devices do with it."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.deadlines import UNIT
from tests.plain_http import NO_TLS
from tests.preloaded import ForkedProcess

T = Any


def wait_for(condition: Callable[[], T], what: str, *, units: float = 20) -> T:
    """First true answer of *condition*; fails with *what* after a deadline."""
    deadline = time.monotonic() + units * UNIT
    # Most ask a server, which takes CPU that what they wait for needs.
    pause = 0.01
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"waited {units * UNIT} s for {what}")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.15)


def names_running(api: httpx.Client, app: str, version: str) -> list[str]:
    """The nodes that reported the app in that version last, on one page, the oldest first."""
    return [one["name"] for one in _running(api, app, version)["items"]]


def count_running(api: httpx.Client, app: str, version: str) -> int:
    """How many nodes reported the app in that version last."""
    return int(_running(api, app, version, limit=1)["total"])


def _running(api: httpx.Client, app: str, version: str, **options: int) -> dict[str, Any]:
    query: dict[str, str | int] = {"fieldSelector": f"status.versions.{app}={version}", **options}
    page: dict[str, Any] = api.get("/v1/nodes", params=query).json()
    return page


@dataclass
class Server:
    """A running `edgesync serve`."""

    process: "subprocess.Popen[bytes] | ForkedProcess"
    data_dir: Path
    api: str
    activation: str
    mqtt: str
    sync: str
    ca: str
    admin_token_file: str

    @property
    def mqtt_port(self) -> int:
        return int(self.mqtt.rpartition(":")[2])

    @property
    def token(self) -> str:
        return Path(self.admin_token_file).read_text().strip()

    def context(self) -> ssl.SSLContext:
        """Trust in this server's CA and nothing else."""
        return ssl.create_default_context(cafile=self.ca)

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.api, headers=headers, verify=NO_TLS, timeout=30 * UNIT)

    def devices(self) -> httpx.Client:
        """Client of the activation endpoint that trusts this server's CA and nothing else."""
        return httpx.Client(base_url=self.activation, verify=self.context(), timeout=30 * UNIT)

    def log(self) -> str:
        return (self.data_dir / "test-server.log").read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=15 * UNIT)


@contextmanager
def running_server(
    data_dir: Path,
    *arguments: str,
    wrapper: Sequence[str] = (),
    module: str = "edgesync",
    tree: str | Path | None = None,
    **variables: str,
) -> Iterator[Server]:
    """Start `edgesync serve` on free ports; killed at the end if it still runs.

    *variables* are set in its environment; *wrapper* is a command that runs it in its place,
    *module* another command with the verb `serve`, and *tree* the source of another version.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    ready = data_dir / "ready.json"
    ready.unlink(missing_ok=True)
    command = ["serve", "--data-dir", str(data_dir)]
    command += ["--api-port", "0", "--activation-port", "0", "--mqtt-port", "0", "--sync-port", "0"]
    command += ["--ready-file", str(ready), *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EDGESYNC_")}
    environment |= variables
    log_file = data_dir / "test-server.log"
    process: subprocess.Popen[bytes] | ForkedProcess
    # A library that is loaded first (LD_PRELOAD) is not loaded by a fork.
    if wrapper or module != "edgesync" or "LD_PRELOAD" in variables:
        whole = [*wrapper, sys.executable, "-m", module, *command]
        with log_file.open("ab") as log:
            process = subprocess.Popen(whole, stdout=log, stderr=log, env=environment)
    else:
        process = ForkedProcess(
            command, log_file, environment=environment, tree=Path(tree) if tree else None
        )
    try:

        def is_ready() -> bool:
            if process.poll() is not None:
                pytest.fail("the server ended")
            return ready.exists()

        wait_for(is_ready, "the server to be ready")
        yield Server(process, data_dir, **json.loads(ready.read_text()))
    except BaseException as failure:
        ended = f"status {process.poll()}, " if process.poll() is not None else ""
        failure.add_note(f"the server: {ended}{log_file.read_text(errors='replace')[-4000:]}")
        raise
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "data") as running:
        yield running


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@dataclass(frozen=True)
class Identity:
    """What a device has once it is activated; files for clients that want files."""

    name: str
    ca: Path
    cert: Path
    key: Path

    @property
    def node_id(self) -> str:
        return f"default.{self.name}"

    def topic(self, channel: str) -> str:
        return f"edge/v1/{self.node_id}/{channel}"

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.cert, self.key)
        return context


def make_csr() -> tuple[ec.EllipticCurvePrivateKey, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return key, request.public_bytes(serialization.Encoding.PEM).decode()


def make_batch(api: httpx.Client, name: str = "b1", **fields: Any) -> dict[str, Any]:
    body = {"name": name, "enableWhitelist": 0, **fields}
    answer = api.post("/v1/register", json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def claim_for(batch: dict[str, Any], fingerprint: str, csr: str) -> dict[str, Any]:
    return {
        "batchName": batch["name"],
        "fingerprintValue": fingerprint,
        "securityType": batch["securityType"],
        "securityValue": batch.get("securityKey", ""),
        "csr": csr,
    }


def activate(server: Server, batch: dict[str, Any], fingerprint: str) -> Identity:
    """Make the device *fingerprint* a node; its files stand beside the server's data."""
    key, csr = make_csr()
    with server.devices() as client:
        answer = client.post("/v1/active", json=claim_for(batch, fingerprint, csr))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    folder = server.data_dir.parent / "devices" / body["nodeName"]
    folder.mkdir(parents=True, exist_ok=True)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(pem)
    (folder / "cert.pem").write_text(body["certificate"]["cert"])
    (folder / "ca.pem").write_text(body["certificate"]["ca"])
    return Identity(body["nodeName"], folder / "ca.pem", folder / "cert.pem", folder / "key.pem")


def make_app(api: httpx.Client, name: str = "web", *, selector: str, image: str = "nginx:1") -> Any:
    """An app with a config and a secret of its own."""
    for path, body in (
        ("configs", {"name": f"{name}-conf", "data": [kv("a.conf", "x = 1")]}),
        ("secrets", {"name": f"{name}-password", "data": {"password": "s3cret"}}),
    ):
        answer = api.post(f"/v1/{path}", json=body)
        assert answer.status_code == 200, answer.text
    answer = api.post(
        "/v1/apps",
        json={
            "name": name,
            "type": "container",
            "selector": selector,
            "labels": {},
            "description": "",
            "services": [
                {
                    "name": name,
                    "image": image,
                    "volumeMounts": [
                        {"name": "conf", "mountPath": "/etc/conf", "readOnly": True},
                        {"name": "password", "mountPath": "/run/secrets", "readOnly": True},
                    ],
                }
            ],
            "volumes": [
                {"name": "conf", "config": {"name": f"{name}-conf"}},
                {"name": "password", "secret": {"name": f"{name}-password"}},
            ],
        },
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def kv(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"type": "kv", "value": value}}
