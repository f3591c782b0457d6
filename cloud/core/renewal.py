"""Which certificate of a node may be followed by another (docs/protocol.md, "Renewal")."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from cloud.core.certificate import NodeCertificate
from cloud.core.rate import Rate
from cloud.errors import Denied, Forbidden

KEY_LIMIT = 4
"""Keys of one node with certificates that are valid at the same time."""

RATE = Rate(burst=6, per_second=6 / 3600)
"""Renewals of one node: a few in a row for who loses answers, then six an hour."""


def check_key(live: Iterable[NodeCertificate], key: str) -> None:
    """Forbidden if a certificate for the key with the digest *key* were one key too many.

    Nothing is revoked to make room: a node that asks again and again with new keys, because it
    cannot keep the answer, would lose the one certificate it has. A key it has is always granted.
    """
    keys = {certificate.key for certificate in live}
    if key not in keys and len(keys) >= KEY_LIMIT:
        raise Forbidden(
            f"{KEY_LIMIT} keys of this node have valid certificates; renew with one of these keys"
        )


def check_possession(
    certificate: NodeCertificate | None, key: str, *, grace: timedelta, now: datetime
) -> NodeCertificate:
    """*certificate*, if who owns the key with the digest *key* may have another for the same key.

    It may have ended, up to *grace* ago. Denied otherwise; that it is unknown, was revoked or is
    of another key is not distinguished.
    """
    if certificate is None or certificate.revoked or certificate.key != key:
        raise Denied("this certificate and this key renew nothing here")
    if now >= certificate.expires + grace:
        raise Denied(
            f"the certificate ended more than {grace.days} days ago; the node has to be"
            " activated again"
        )
    return certificate
