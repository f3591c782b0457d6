"""A certificate of a node, as far as it is stored."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class NodeCertificate:
    """One certificate of a node; *revoked* is when it was revoked, if it was.

    *key* is the digest of its public key (`certs.keys.key_digest`); empty where the certificate is
    of a server that did not note it.
    """

    serial: int
    node_id: str
    created: datetime
    expires: datetime
    revoked: datetime | None = None
    key: str = ""

    def admits(self, node_id: str, key: str, now: datetime) -> bool:
        """Return whether this admits *node_id*, which proved to own the key of digest *key*."""
        return not self.reason_against(node_id, key, now)

    def reason_against(self, node_id: str, key: str, now: datetime) -> str:
        """The reason why this does not admit *node_id*; empty if it does.

        Who has the authority's key can sign another certificate with this serial number. Where no
        key is on record any is taken: bind the record to it then. The handshake checks the dates
        too, but not when a TLS 1.2 session is resumed.
        """
        if self.node_id != node_id:
            return "the certificate is of another node"
        if self.key not in {"", key}:
            return "the certificate is for another key than the one on record"
        if self.revoked is not None:
            return "the certificate was revoked"
        return "" if now < self.expires else "the certificate has expired"
