"""Renewal of a node's certificate, before or for a while after its expiry."""

from datetime import datetime, timedelta

from cloud.core.names import split_node_id
from cloud.core.renewal import check_key, check_possession
from cloud.errors import Denied
from cloud.operations.activation import ActivatingDevice, Activation, CertificateIssuer, certify
from cloud.operations.admission import may_connect
from cloud.operations.nodes import existing_node
from cloud.store.transaction import Transaction


def renew(
    tx: Transaction,
    authority: CertificateIssuer,
    node_id: str,
    device: ActivatingDevice,
    *,
    now: datetime,
    serial: int,
) -> Activation:
    """Certify the key of *device* for the node, which proved who it is on its connection.

    Denied if none of its certificates is valid at *now*: a connection may outlast the one it was
    made with. Forbidden if that were one key too many; NotFound if there is no such node.
    """
    namespace, name = split_node_id(node_id)
    existing_node(tx, namespace, name)
    live = tx.live_certificates(node_id, now)
    if not live:
        raise Denied("no certificate of this node is valid now")
    check_key(live, device.key_digest)
    return certify(tx, authority, namespace, name, device, now, serial)


def renew_shown(
    tx: Transaction,
    authority: CertificateIssuer,
    node_id: str,
    shown: tuple[int, str],
    device: ActivatingDevice,
    *,
    now: datetime,
    serial: int,
) -> Activation:
    """As `renew`, for who showed one certificate of the node in the handshake just now.

    *shown* is its serial number, and the digest of its key. Denied if that one does not admit (any
    more).
    """
    if not may_connect(tx, node_id, *shown, now=now):
        raise Denied("the certificate of this connection does not admit")
    return renew(tx, authority, node_id, device, now=now, serial=serial)


def returning_node(
    tx: Transaction, ended_serial: int, key_digest: str, *, grace: timedelta, now: datetime
) -> str:
    """Id of the node that may have the certificate *ended_serial* renewed for its own key.

    Denied if that ended longer than *grace* ago, was revoked, is for another key or was not
    given out here, and when its node is gone.
    """
    ended = check_possession(tx.certificate(ended_serial), key_digest, grace=grace, now=now)
    if tx.node(*split_node_id(ended.node_id)) is None:
        raise Denied("the node of this certificate is gone")
    return ended.node_id


def come_back(
    tx: Transaction,
    authority: CertificateIssuer,
    ended_serial: int,
    device: ActivatingDevice,
    *,
    grace: timedelta,
    now: datetime,
    serial: int,
) -> Activation:
    """Certify the key of a certificate once more, for who owns it, also when that has ended.

    Denied as by `returning_node`.
    """
    node_id = returning_node(tx, ended_serial, device.key_digest, grace=grace, now=now)
    namespace, name = split_node_id(node_id)
    return certify(tx, authority, namespace, name, device, now, serial)
