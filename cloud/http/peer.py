"""The client certificate of a TLS connection.

uvicorn does not give it to applications. The protocol class adds `scope_of_peer` to the scope of
each request, with the ASGI TLS extension
(https://asgi.readthedocs.io/en/latest/specs/tls.html).
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from starlette.requests import Request
from starlette.types import Scope

from broker.peer_certificate import peer_identity
from certs.keys import certificate_key_digest

_KEY = "edgesync.peer"
_ABORT_KEY = "edgesync.abort"
_TLS_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A node's certificate, verified in the handshake; whether it is revoked is not checked.

    *key* is the digest of its public key (`certs.keys.key_digest`).
    """

    node_id: str
    serial: int
    key: str
    certificate: x509.Certificate = field(repr=False)


def peer_certificate(request: Request) -> PeerCertificate | None:
    """The certificate the caller showed; None where it showed none, or none that is a node's.

    What it is verified against, and whether one is required, is up to the TLS context of the
    listener. None if the listener does not speak `BoundedProtocol`.
    """
    found: PeerCertificate | None = request.scope.get(_KEY)
    return found


def abort(scope: Scope) -> None:
    """End the connection at once, whatever waits to be sent; nothing where it cannot be."""
    end: Callable[[], None] | None = scope.get(_ABORT_KEY)
    if end is not None:
        end()


def scope_of_peer(transport: Any) -> Mapping[str, Any]:
    """Keys that the scope of each request on *transport* has of the peer, after the handshake."""
    scope: dict[str, Any] = {_ABORT_KEY: transport.abort}
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return scope
    der = tls.getpeercert(binary_form=True)
    certificate = x509.load_der_x509_certificate(der) if der else None
    identity = peer_identity(transport)
    scope[_KEY] = None
    if certificate and identity:
        key = certificate_key_digest(certificate)
        serial = certificate.serial_number
        scope[_KEY] = PeerCertificate(identity.node_id, serial, key, certificate)
    scope["extensions"] = {
        "tls": {
            "server_cert": None,
            "client_cert_chain": [ssl.DER_cert_to_PEM_cert(der)] if der else [],
            "client_cert_name": certificate.subject.rfc4514_string() if certificate else None,
            "client_cert_error": None,
            "tls_version": _TLS_VERSIONS.get(tls.version() or ""),
            "cipher_suite": None,
        }
    }
    return scope
