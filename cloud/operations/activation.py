"""Activation: a device proves its identity and becomes a node (docs/protocol.md, "Activation")."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import msgspec

from cloud.core.batch import Batch, Record, SecurityType, checked_record
from cloud.core.callback import activation_content
from cloud.core.certificate import NodeCertificate
from cloud.core.encryption_key import EncryptionKeyProof
from cloud.core.fingerprint import is_same, normalised
from cloud.core.installation import InstallToken, TargetKind
from cloud.core.names import check_fingerprint, check_node_name, node_id
from cloud.core.node import Node, NodeSpec, checked_node_spec
from cloud.core.sending import Delivery
from cloud.errors import (
    ActivationDenied,
    Invalid,
    NameTaken,
    NotOnWhitelist,
    OtherKey,
    QuotaExceeded,
    WrongToken,
)
from cloud.operations.encryption_keys import record_activated_key
from cloud.operations.events import record_activation_event
from cloud.operations.installation import offered
from cloud.operations.nodes import existing_node
from cloud.operations.running import record_running_again
from cloud.store.transaction import Transaction


class Claim(msgspec.Struct, frozen=True, rename="camel"):
    """The activation request of a device; fields it sends beyond these are ignored.

    Batch and fingerprint are needed unless an install token identifies the device.
    """

    batch_name: str = ""
    fingerprint_value: str = ""
    namespace: str = ""
    security_type: str = SecurityType.NONE.value
    security_value: str = ""
    mode: str = ""
    penetrate_data: dict[str, str] | None = None
    csr: str = ""
    install_token: str = ""
    encryption_key: EncryptionKeyProof | None = None

    def __repr__(self) -> str:
        return f"Claim(batch_name={self.batch_name!r})"


class IssuedRecord(Protocol):
    """A certificate of an authority, as far as it is stored here."""

    @property
    def serial(self) -> int:
        """Serial number, unique for ever."""
        ...

    @property
    def not_after(self) -> datetime:
        """Last moment it is valid."""
        ...

    @property
    def certificate_pem(self) -> str:
        """The one certificate, PEM."""
        ...

    @property
    def issuer_pem(self) -> str:
        """The certificate of who signed it, PEM."""
        ...


class CertificateIssuer(Protocol):
    """Makes certificates for nodes."""

    def issue_node(
        self, public_key: Any, node_id: str, *, now: datetime, serial: int
    ) -> IssuedRecord:
        """Certify that *public_key* is that of *node_id*."""
        ...


@dataclass(frozen=True, slots=True)
class ActivatingDevice:
    """The caller, by its key and its connection."""

    public_key: Any
    key_digest: str
    """The digest of the key: see `certs.keys.key_digest`."""
    address: str
    is_given_key: bool = False
    """Whether the server made the key for it, as it sent none."""


@dataclass(frozen=True, slots=True)
class Activation:
    """The answer to the device: who it is, its certificate, and that of who signed it.

    *has_replaced* another device, whose certificates were revoked: its connection has to end.
    *has_callback* that there is something to deliver.
    """

    namespace: str
    node_name: str
    certificate_pem: str
    issuer_pem: str
    has_replaced: bool = False
    has_callback: bool = False

    @property
    def node_id(self) -> str:
        """Identity on the wire."""
        return node_id(self.namespace, self.node_name)


def activate(
    tx: Transaction,
    authority: CertificateIssuer,
    claim: Claim,
    device: ActivatingDevice,
    *,
    now: datetime,
    serial: int,
    delivery_id: str,
) -> Activation:
    """Make the device of *claim* a node and certify its key.

    The same fingerprint always becomes the same node, and stays with the key it came with first. A
    device that is given its key gets another one while nothing was heard of its node: the answer
    was lost, and the previous certificates are revoked.

    ActivationDenied alike for a wrong token, an unknown batch or a fingerprint not on its list,
    OtherKey for an active device with a key it did not have, QuotaExceeded when the batch is full,
    Invalid when the name it would get belongs to another device. An install token states which node
    or batch, stands for the batch's token, and is used up unless activation fails; a node's is an
    operator's word that this is the device now, and takes the certificates of another key back.
    The notification of the batch's callback is queued as *delivery_id*. The encryption key of the
    claim has to be checked before (`check_own_key`).
    """
    token = offered(tx, claim.install_token, now=now) if claim.install_token else None
    if token is not None:
        tx.delete_install_token(token.digest)
    if token is not None and token.kind is TargetKind.NODE:
        node = existing_node(tx, token.namespace, token.name)
        keys = tx.live_keys(node.id)
        has_replaced = bool(keys - {device.key_digest})
        if has_replaced:
            tx.revoke_certificates(node.id, now)
        facts = {"address": device.address, "hasReplaced": has_replaced}
        record_activation_event(tx, node.namespace, node.name, now=now, facts=facts)
        activation = certify(tx, authority, node.namespace, node.name, device, now, serial)
        is_same = keys == {device.key_digest}
        record_activated_key(tx, node.id, claim.encryption_key, is_same_device=is_same, now=now)
        return replace(activation, has_replaced=has_replaced)
    batch, record = _let_in(tx, claim, token)
    if record is None:
        record = _new_record(tx, batch, claim, now)
    if not record.active:
        _check_not_taken(tx, record)
    identity = node_id(record.namespace, record.node_name)
    has_replaced = _replaces(tx, record, device, now)
    is_same = device.key_digest in tx.live_keys(identity)
    if has_replaced:
        tx.revoke_certificates(identity, now)
    _ensure_node(tx, batch, record, now)
    tx.put_record(
        replace(record, active=True, active_ip=device.address, active_time=now, updated=now)
    )
    record_activation_event(
        tx,
        record.namespace,
        record.node_name,
        now=now,
        facts={
            "batch": record.batch,
            "record": record.name,
            "isFirst": record.active_time is None,
            "address": device.address,
            "hasReplaced": has_replaced,
        },
    )
    if batch.spec.callback_name:
        _tell_callback(tx, batch, record, claim, device, now, delivery_id)
    activation = certify(tx, authority, record.namespace, record.node_name, device, now, serial)
    record_activated_key(tx, identity, claim.encryption_key, is_same_device=is_same, now=now)
    has_callback = bool(batch.spec.callback_name)
    return replace(activation, has_replaced=has_replaced, has_callback=has_callback)


def expect_devices(tx: Transaction, claims: Sequence[Claim]) -> None:
    """Have what activations of *claims* depend on looked up for all of them at once."""
    places = [
        (claim.namespace, claim.batch_name, claim.fingerprint_value.strip())
        for claim in claims
        if claim.fingerprint_value and not claim.install_token
    ]
    tx.expect_fingerprints(places)
    for namespace, batch, fingerprint in places:
        record = tx.record_by_fingerprint(namespace, batch, fingerprint)
        name = node_name = normalised(fingerprint)
        if record is not None:
            name, node_name = record.name, record.node_name
        tx.expect_record(namespace, batch, name, node_name)


def check_token(tx: Transaction, claim: Claim, *, now: datetime) -> None:
    """ActivationDenied unless *claim* shows the token of its batch, or an install token.

    For a claim whose device gets no answer: fingerprint and key are not looked at.
    """
    if claim.install_token:
        offered(tx, claim.install_token, now=now)
        return
    batch = tx.batch(claim.namespace, claim.batch_name)
    if not _shows_key(claim, batch) or batch is None:
        raise ActivationDenied(f"there is no batch {claim.batch_name[:80]!r} with that token")


def guess_of(claim: Claim) -> str:
    """The guessable part of a claim, as one text."""
    return msgspec.json.encode(
        (
            claim.namespace,
            normalised(claim.fingerprint_value),
            claim.security_type,
            claim.security_value,
            claim.install_token,
        )
    ).decode()


def is_known_device(tx: Transaction, claim: Claim, device: ActivatingDevice) -> bool:
    """Return whether the device is active and has the key of its node, whatever else it sends."""
    record = tx.record_by_fingerprint(claim.namespace, claim.batch_name, claim.fingerprint_value)
    if record is None or not record.active:
        return False
    return device.key_digest in tx.live_keys(node_id(record.namespace, record.node_name))


def certify(
    tx: Transaction,
    authority: CertificateIssuer,
    namespace: str,
    name: str,
    device: ActivatingDevice,
    now: datetime,
    serial: int,
) -> Activation:
    """Certify the device's key for the node, without checks, and record the certificate."""
    identity = node_id(namespace, name)
    issued = authority.issue_node(device.public_key, identity, now=now, serial=serial)
    tx.put_certificate(
        NodeCertificate(issued.serial, identity, now, issued.not_after, key=device.key_digest)
    )
    return Activation(namespace, name, issued.certificate_pem, issued.issuer_pem)


def _let_in(
    tx: Transaction, claim: Claim, token: InstallToken | None
) -> tuple[Batch, Record | None]:
    """The batch of the device, and its record there; ActivationDenied after the same work.

    The batch is the install token's, or the one whose token the device shows.
    """
    if not claim.fingerprint_value:
        raise Invalid("fingerprintValue", "missing")
    if token is None and not claim.batch_name:
        raise Invalid("batchName", "missing")
    fingerprint = check_fingerprint("fingerprintValue", claim.fingerprint_value.strip())
    namespace, name = claim.namespace, claim.batch_name
    if token is not None:
        namespace, name = token.namespace, token.name
    batch = tx.batch(namespace, name)
    record = tx.record_by_fingerprint(namespace, name, fingerprint)
    is_proven = _shows_key(claim, batch) or token is not None
    is_known = is_same(fingerprint, record.fingerprint if record else "")
    if batch is None:
        raise ActivationDenied(f"there is no batch {name[:80]!r} in {namespace}")
    if not is_proven:
        raise WrongToken(f"security type or token is not that of the batch {name}")
    if not is_known and batch.spec.enable_whitelist:
        raise NotOnWhitelist(namespace, name, fingerprint)
    return batch, record


def _shows_key(claim: Claim, batch: Batch | None) -> bool:
    """Return whether the device has what the batch asks for, in constant time."""
    security_type = batch.spec.security_type if batch else SecurityType.TOKEN
    key = batch.spec.security_key if batch else ""
    is_right = hmac.compare_digest(_digest(claim.security_value), _digest(key))
    if claim.security_type != security_type.value:
        return False
    return is_right or security_type is SecurityType.NONE


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _new_record(tx: Transaction, batch: Batch, claim: Claim, now: datetime) -> Record:
    """Record for a device of a batch without whitelist that was not seen before."""
    if tx.count_records(batch.namespace, batch.name) >= batch.spec.quota_num:
        raise QuotaExceeded(batch.name, batch.spec.quota_num)
    name = normalised(claim.fingerprint_value)
    check_node_name("fingerprintValue", batch.namespace, name)
    if tx.node(batch.namespace, name) is not None:
        # No operator has bound this device to that node.
        raise NameTaken("fingerprintValue", "a node of that name is there already")
    return checked_record(
        Record(batch.namespace, batch.name, name, name, name, created=now, updated=now)
    )


def _check_not_taken(tx: Transaction, record: Record) -> None:
    """Refuse a second device the name of a node that another record has become."""
    for other in tx.records_of_node(record.namespace, record.node_name):
        if other.active and (other.batch, other.name) != (record.batch, record.name):
            raise NameTaken("fingerprintValue", "its node name belongs to another device")


def _replaces(tx: Transaction, record: Record, device: ActivatingDevice, now: datetime) -> bool:
    """Refuse (OtherKey) a device with a key the node does not have; a reset frees it.

    Return whether it is one that the server makes anew, because the one before was not used.
    Certificates of before keys were recorded have no known key: the first key that comes after
    them is the node's.
    """
    keys = tx.live_keys(node_id(record.namespace, record.node_name))
    if device.key_digest in keys or keys == {""}:
        return False
    if device.is_given_key and _is_unheard(tx, record, now):
        return True
    if keys or record.active:
        raise OtherKey(record.name)
    return False


def _is_unheard(tx: Transaction, record: Record, now: datetime) -> bool:
    """Return whether the certificate issued at activation was never used.

    It is valid, the node was given no other one since, and was not heard.
    """
    activated = record.active_time
    if not record.active or activated is None:
        return False
    live = tx.live_certificates(node_id(record.namespace, record.node_name), now)
    if not live or any(certificate.created > activated for certificate in live):
        return False
    heard = tx.heard(record.namespace, record.node_name)
    return heard is None or heard.last < activated


def _tell_callback(
    tx: Transaction,
    batch: Batch,
    record: Record,
    claim: Claim,
    device: ActivatingDevice,
    now: datetime,
    delivery_id: str,
) -> None:
    facts = {
        "namespace": record.namespace,
        "nodeName": record.node_name,
        "batchName": record.batch,
        "recordName": record.name,
        "fingerprintValue": record.fingerprint,
        "activeIp": device.address,
        "isFirst": record.active_time is None,
    }
    content = activation_content(claim.penetrate_data, facts, now)
    tx.put_delivery(
        Delivery(delivery_id, batch.namespace, batch.spec.callback_name, content, now, now)
    )


def _ensure_node(tx: Transaction, batch: Batch, record: Record, now: datetime) -> None:
    """Make the node, or give one that waited for its device the labels of the batch it lacks."""
    node = tx.node(record.namespace, record.node_name)
    if node is None:
        spec = checked_node_spec(record.node_name, NodeSpec(labels=dict(batch.spec.labels)))
        tx.put_node(Node(record.namespace, record.node_name, spec, now, now))
    elif not record.active:
        labels = {**batch.spec.labels, **node.spec.labels}
        if labels != node.spec.labels:
            spec = msgspec.structs.replace(node.spec, labels=labels)
            relabelled = replace(node, spec=spec, updated=now)
            tx.put_node(relabelled)
            record_running_again(tx, relabelled)
