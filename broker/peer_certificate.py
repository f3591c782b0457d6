"""The certificate of the client of a TLS connection, as that of a node."""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from broker.topics import is_node_id_level


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """A node, by the one common name of its *certificate*."""

    node_id: str
    certificate: x509.Certificate

    @property
    def ends(self) -> datetime:
        """Last moment the certificate is valid; the handshake has required one that is."""
        return self.certificate.not_valid_after_utc


def peer_identity(transport: asyncio.BaseTransport) -> PeerIdentity | None:
    """The identity that the client proved in the handshake; None unless it is that of one node."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls else None
    if not der:
        return None
    try:
        return identity_in(x509.load_der_x509_certificate(der))
    except ValueError:  # OpenSSL reads some that are not well-formed
        return None


def identity_in(certificate: x509.Certificate) -> PeerIdentity | None:
    """The identity in *certificate*; None unless it is that of one node.

    ValueError for a subject that is not well-formed.
    """
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        return None
    name = names[0].value
    if not isinstance(name, str) or not is_node_id_level(name):
        return None
    return PeerIdentity(name, certificate)
