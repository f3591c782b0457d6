"""The ports that a device under test talks to, activation and MQTT, and their own authority."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from cryptography import x509
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.embedded import open_embedded_hub
from broker.hub import Hub
from certs.authority import Authority
from certs.errors import BadSigningRequest
from certs.files import ServerCertificate, ensure_server_certificate, load_or_create_authority
from certs.signing_requests import read_signing_request
from certs.tls import node_listener_context, server_context
from cloud.core.names import is_address
from edgesync.conformance.checks import Findings
from edgesync.conformance.played import now, now_text

NAMESPACE, NODE = "default", "device-under-test"
NODE_ID = f"{NAMESPACE}.{NODE}"
BATCH, TOKEN = "conformance", "conformance-token"  # identifies the device; no secret
BODY_LIMIT = 64 * 1024
IMPOSTOR_SECONDS = 10.0
"""That a device has to send something to an impostor."""

_EXPECTED = {"batchName": BATCH, "securityType": "Token", "securityValue": TOKEN}
ACTIVATION_PATH = "/v1/active"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the device reaches the server it is tested against."""

    host: str
    activation: int
    mqtt: int
    ca_file: Path


@dataclass(slots=True)
class ActivationPort:
    """Takes activation requests and looks at them; `is_done` once it gave a certificate."""

    authority: Authority
    findings: Findings
    is_done: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> Starlette:
        """The web application."""
        return Starlette(routes=[Route(ACTIVATION_PATH, self._activate, methods=["POST"])])

    async def _activate(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                return self._refuse(413, f"the body has more than {BODY_LIMIT} bytes")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            self.findings.failed("activation", "Content-Type is not application/json")
        if b"PRIVATE KEY" in body:
            self.findings.failed("own-key", "the request holds a private key")
        try:
            content = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            return self._refuse(400, f"the body is not a JSON object: {error}")
        for name, value in _EXPECTED.items():
            if content.get(name) != value:
                got = str(content.get(name))[:60]
                return self._refuse(401, f"{name} is {got!r}, not {value!r}")
        fingerprint = content.get("fingerprintValue")
        if not isinstance(fingerprint, str) or not fingerprint.strip():
            return self._refuse(400, "fingerprintValue is missing")
        return self._certify(content.get("csr"))

    def _certify(self, csr: object) -> Response:
        if not isinstance(csr, str) or not csr:
            self.findings.failed("own-key", "csr is missing")
            return self._refuse(400, "csr is missing")
        try:
            key = read_signing_request(csr)
        except BadSigningRequest as error:
            return self._refuse(400, f"csr {error}")
        issued = self.authority.issue_node(
            key, NODE_ID, now=now(), serial=x509.random_serial_number()
        )
        self.findings.passed("own-key")
        self.findings.passed("activation")
        self.is_done.set()
        certificate = {
            "ca": self.authority.root_pem,
            "cert": issued.certificate_pem,
            "chain": issued.chain_pem.removeprefix(issued.certificate_pem),
            "key": "",
        }
        head = {"nodeName": NODE, "namespace": NAMESPACE, "time": now_text()}
        return JSONResponse({**head, "certificate": certificate, "mqttCert": certificate})

    def _refuse(self, status: int, why: str) -> Response:
        self.findings.failed("activation", why)
        code = "RequestAccessDenied" if status == 401 else "RequestParamInvalid"
        return JSONResponse({"code": code, "message": why, "time": now_text()}, status)


@dataclass(frozen=True, slots=True)
class RunningServer:
    """The server that is played: its hub, and what takes activations."""

    hub: Hub
    activation: ActivationPort


@contextlib.asynccontextmanager
async def running_server(
    directory: Path, authority: Authority, ports: Ports, findings: Findings
) -> AsyncIterator[RunningServer]:
    """Listen at *ports* with certificates of *authority*, kept in *directory*; OSError if taken."""
    certificate = _server_certificate(directory, authority, ports.host)
    nodes_tls = node_listener_context(
        certificate.certificate_file, certificate.key_file, authority.trusted_pem
    )
    activation = ActivationPort(authority, findings)
    tls = server_context(certificate.certificate_file, certificate.key_file)
    hub = open_embedded_hub(host=ports.host, port=ports.mqtt, tls=nodes_tls, gate=_admit, clock=now)
    async with hub as opened, _serving(activation.app(), tls, ports):
        yield RunningServer(opened, activation)


def in_url(host: str) -> str:
    """*host* as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _server_certificate(directory: Path, authority: Authority, host: str) -> ServerCertificate:
    names, addresses = {"localhost"}, {"127.0.0.1"}
    (addresses if is_address(host) else names).add(host)
    return ensure_server_certificate(
        directory, authority, sorted(names), sorted(addresses), now=now()
    )


@contextlib.asynccontextmanager
async def _serving(app: Starlette, tls: ssl.SSLContext, ports: Ports) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app, loop="none", lifespan="off", log_config=None, access_log=False, server_header=False
    )
    config.load()
    config.ssl = tls
    server = _WebServer(config)
    address = (ports.host, ports.activation)
    with socket.create_server(address, family=_family(ports.host)) as listener:
        listener.setblocking(False)  # noqa: FBT003
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(server.serve(sockets=[listener]), name="activation port")
            try:
                yield
            finally:
                server.should_exit = True
                await asyncio.wait([running])


class _WebServer(uvicorn.Server):
    """A web server that leaves the signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the command."""
        yield


async def _admit(*_: object) -> bool:
    """Let each client in whose certificate the authority signed."""
    return True


async def listens_to_impostor(
    folder: Path, ports: Ports, seconds: float, on_listening: Callable[[], None]
) -> bool | None:
    """Whether a device sends anything to a server of another authority at the activation port.

    None if no device came within *seconds*. *on_listening* is called once the port is open.
    """
    authority = load_or_create_authority(folder / "impostor", now=now())
    certificate = _server_certificate(folder / "impostor", authority, ports.host)
    tls = server_context(certificate.certificate_file, certificate.key_file)
    address = (ports.host, ports.activation)
    with socket.create_server(address, family=_family(ports.host)) as listener:
        on_listening()
        return await asyncio.to_thread(_meet, listener, tls, seconds)


def _meet(listener: socket.socket, tls: ssl.SSLContext, seconds: float) -> bool | None:
    """Take one connection within *seconds*: whether anything came over it after the handshake."""
    listener.settimeout(seconds)
    try:
        accepted, _ = listener.accept()
    except TimeoutError:
        return None
    with accepted:
        accepted.settimeout(IMPOSTOR_SECONDS)
        try:
            with tls.wrap_socket(accepted, server_side=True) as connection:
                return bool(connection.recv(1))
        except OSError:
            return False
