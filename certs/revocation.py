"""Revocation lists, which other software can check certificates against (RFC 5280, 5)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from certs.keys import SigningKey
from certs.profiles import Issuer

LIFETIME = timedelta(days=30)
"""How long after it was made a list may be used; then brokers refuse all clients."""


class Revoked(NamedTuple):
    """One revoked certificate, and when it was revoked."""

    serial: int
    since: datetime


def revocation_list(
    issuer: x509.Certificate,
    key: SigningKey,
    revoked: Iterable[Revoked],
    *,
    number: int,
    issued: datetime,
    ends: datetime,
) -> x509.CertificateRevocationList:
    """The list numbered *number* of *issuer*, good from *issued* to *ends*."""
    # All at once: adding them one by one copies the list each time (30,000 took 5 s).
    builder = x509.CertificateRevocationListBuilder(
        revoked_certificates=[
            x509.RevokedCertificateBuilder(serial, since).build() for serial, since in revoked
        ]
    )
    return (
        builder.issuer_name(issuer.subject)
        .last_update(issued)
        .next_update(ends)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(Issuer.of(issuer).key, critical=False)
        .sign(key, hashes.SHA256())
    )
