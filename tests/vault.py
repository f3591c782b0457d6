"""A server over TLS that answers as a Vault with the KV engine, version 2, or worse."""

import datetime as dt
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TOKEN = "hvs.the-token"


@dataclass
class Vault:
    """A running one: *secrets* by path, such as `secret/data/edgesync/default/db`."""

    url: str
    ca_file: Path
    token_file: Path
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Paths that were asked for.
    asked: list[str] = field(default_factory=list)
    # What answers instead, if anything.
    instead: "Callable[[BaseHTTPRequestHandler], None] | None" = None
    # Set at the end: then nothing waits any more.
    ended: threading.Event = field(default_factory=threading.Event)

    def put(self, path: str, namespace: str = "default", **fields: Any) -> None:
        self.secrets[f"secret/data/edgesync/{namespace}/{path}"] = fields

    def flags(self) -> list[str]:
        """Flags of a server that reads from it."""
        named = (("url", self.url), ("token-file", self.token_file), ("ca-file", self.ca_file))
        return [part for name, value in named for part in (f"--vault-{name}", str(value))]


@contextmanager
def running_vault(folder: Path) -> Iterator[Vault]:
    """A Vault whose certificate, for localhost alone, is its own authority."""
    folder.mkdir(parents=True, exist_ok=True)
    pem, token_file = folder / "vault.pem", folder / "vault.token"
    pem.write_bytes(_certificate())
    token_file.touch(0o600)
    token_file.write_text(TOKEN + "\n")
    http = ThreadingHTTPServer(("127.0.0.1", 0), _VaultHandler)
    http.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    vault = Vault(f"https://localhost:{http.server_port}", pem, token_file)
    http.vault = vault  # type: ignore[attr-defined]
    thread = threading.Thread(target=lambda: http.serve_forever(0.02), daemon=True)
    thread.start()
    try:
        yield vault
    finally:
        vault.ended.set()
        http.shutdown()
        http.server_close()
        thread.join(timeout=10)


class _VaultHandler(BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self) -> None:
        vault: Vault = self.server.vault  # type: ignore[attr-defined]
        path = self.path.removeprefix("/v1/")
        vault.asked.append(path)
        with suppress(OSError):
            if vault.instead is not None:
                vault.instead(self)
            elif self.headers["X-Vault-Token"] != TOKEN:
                answer(self, 403, {"errors": ["permission denied"]})
            elif path not in vault.secrets:
                answer(self, 404, {"errors": []})
            else:
                data = {"data": vault.secrets[path], "metadata": {"version": 1}}
                answer(self, 200, {"request_id": "1", "data": data})

    def handle_one_request(self) -> None:
        with suppress(OSError):  # of a client that does not trust the certificate
            super().handle_one_request()

    def log_message(self, *_arguments: Any) -> None:
        pass


def answer(handler: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def _certificate() -> bytes:
    """A key, and its own certificate."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vault")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + made.public_bytes(pem)
