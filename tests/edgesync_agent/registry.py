"""A registry on loopback with a password and TLS, of the tests' own."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesync_agent.engine import Engine, json_lines
from tests.ports import free_port

PASSWORD = "sesame"
_HTPASSWD = "user:$2b$04$R3GXrbfB5RkMc36VGLM12ODLXH/NHAaFl7VJV9C0nBP4dlgJl02Cu\n"
_START_SECONDS = 30.0


def started(
    command: Sequence[str], log: Path, is_up: Callable[[], bool], **options: Any
) -> "subprocess.Popen[bytes]":
    """A server that is up, which writes its output to *log*; *options* are those of Popen."""
    with open(log, "ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, **options)
    deadline = time.monotonic() + _START_SECONDS
    while not is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(log.read_text()[-3000:])
        time.sleep(0.05)  # between looks, until the deadline
    return process


@dataclass
class RunningRegistry:
    """A registry on loopback that wants a password; *certificate* (PEM) is to be trusted."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def certificate(self) -> bytes:
        return (self.folder / "cert.pem").read_bytes()

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = ["docker-registry", "serve", str(self.folder / "config.yml")]
        self.process = started(command, self.folder / "log", self._listens)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def secret(self) -> dict[str, str]:
        """Its credentials, as an app names them."""
        return {"address": self.address, "username": "user", "password": PASSWORD}

    def push(self, engine: Engine, image: str, name: str) -> str:
        """Put *image* of an engine there under a name; the new name, which the engine forgets."""
        repository = f"{self.address}/{name.partition(':')[0]}"
        tag = name.partition(":")[2]
        query = {"repo": repository, "tag": tag}
        engine.call("POST", f"/images/{image}/tag", query=query)
        credentials = base64.urlsafe_b64encode(json.dumps(self.secret()).encode()).decode()
        path, headers = f"/images/{repository}/push", {"X-Registry-Auth": credentials}
        pieces = engine.stream("POST", path, query={"tag": tag}, headers=headers, total=60)
        for line in json_lines(pieces):
            assert not line.get("error"), line
        engine.call("DELETE", f"/images/{repository}:{tag}")
        return f"{repository}:{tag}"


@contextlib.contextmanager
def running_registry(folder: Path) -> Iterator[RunningRegistry]:
    """A registry with htpasswd and TLS."""
    assert shutil.which("docker-registry"), "needs docker-registry"
    folder.mkdir(parents=True)
    running = RunningRegistry(folder, free_port())
    certificate = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    certificate += ["ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=registry"]
    certificate += ["-addext", "subjectAltName=IP:127.0.0.1"]
    certificate += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(certificate, check=True, capture_output=True, timeout=60)
    (folder / "htpasswd").write_text(_HTPASSWD)
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {
            "addr": running.address,
            "tls": {
                "certificate": str(folder / "cert.pem"),
                "key": str(folder / "key.pem"),
            },
        },
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
    }
    (folder / "config.yml").write_text(json.dumps(settings))
    running.start()
    try:
        yield running
    finally:
        running.stop()
