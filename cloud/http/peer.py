"""Who is on the other side of TLS: the certificate that a caller proved to own.

uvicorn tells applications nothing of it. The protocol class here adds the ASGI TLS extension
(https://asgi.readthedocs.io/en/latest/specs/tls.html) to the scope of each request.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from starlette.requests import Request
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from broker.listener import certificate_identity
from certs.keys import certificate_key_digest

_KEY = "edgesync.peer"
_ABORT_KEY = "edgesync.abort"
_TLS_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A node's certificate, verified in the handshake; whether it still admits is not said.

    *key* is the digest of its public key (`certs.keys.key_digest`).
    """

    node_id: str
    serial: int
    key: str
    certificate: x509.Certificate = field(repr=False)


def peer_certificate(request: Request) -> PeerCertificate | None:
    """The certificate the caller showed; None where it showed none, or none that is a node's.

    What it is verified against, and whether one is required, is up to the TLS context of the
    listener. None for everybody where the listener does not speak `PeerProtocol`.
    """
    found: PeerCertificate | None = request.scope.get(_KEY)
    return found


def abort(scope: Scope) -> None:
    """End the connection at once, whatever waits to be sent; nothing where it cannot be."""
    end: Callable[[], None] | None = scope.get(_ABORT_KEY)
    if end is not None:
        end()


class PeerProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with the peer's certificate in the scope; read once a connection."""

    _peer: PeerCertificate | None = None
    _extensions: dict[str, dict[object, object]] | None = None

    def connection_made(self, transport: Any) -> None:
        """Look at the certificate; the handshake is done."""
        super().connection_made(transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is None:
            return
        der = tls.getpeercert(binary_form=True)
        certificate = x509.load_der_x509_certificate(der) if der else None
        identity = certificate_identity(transport)
        if certificate and identity:
            key = certificate_key_digest(certificate)
            self._peer = PeerCertificate(*identity, key, certificate)
        self._extensions = {
            "tls": {
                "server_cert": None,
                "client_cert_chain": [ssl.DER_cert_to_PEM_cert(der)] if der else [],
                "client_cert_name": certificate.subject.rfc4514_string() if certificate else None,
                "client_cert_error": None,
                "tls_version": _TLS_VERSIONS.get(tls.version() or ""),
                "cipher_suite": None,
            }
        }

    def on_message_begin(self) -> None:
        """Begin the scope of a request."""
        super().on_message_begin()
        scope: Any = self.scope
        scope[_ABORT_KEY] = self.transport.abort
        if self._extensions is not None:
            scope["extensions"] = self._extensions
            scope[_KEY] = self._peer
