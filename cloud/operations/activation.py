"""A device proves who it is and becomes a node (docs/protocol.md, "Activation")."""

import hmac
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import msgspec

from cloud.core.batch import Batch, Record, SecurityType, checked_record
from cloud.core.certificate import NodeCertificate
from cloud.core.fingerprint import normalised
from cloud.core.installation import InstallToken, TargetKind
from cloud.core.names import check_node_name, node_id
from cloud.core.node import Node, NodeSpec, checked_node_spec
from cloud.errors import Denied, Invalid, NotFound, QuotaExceeded
from cloud.operations.batches import existing_batch
from cloud.operations.installation import offered
from cloud.operations.nodes import existing_node
from cloud.store.interface import Transaction


class Claim(msgspec.Struct, frozen=True, rename="camel"):
    """What a device says to be activated; fields it sends beyond these are ignored.

    Batch and fingerprint are needed as far as no install token says who the device is.
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

    def __repr__(self) -> str:
        return f"Claim(batch_name={self.batch_name!r})"


class IssuedCertificate(Protocol):
    """What an authority hands out, as far as it is remembered here."""

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


class Authority(Protocol):
    """Makes certificates for nodes."""

    def issue_node(
        self, public_key: Any, node_id: str, *, now: datetime, serial: int
    ) -> IssuedCertificate:
        """Certify that *public_key* is that of *node_id*."""
        ...


@dataclass(frozen=True, slots=True)
class Activation:
    """What the device is told: who it is, and its certificate."""

    namespace: str
    node_name: str
    certificate_pem: str


def activate(
    tx: Transaction,
    authority: Authority,
    claim: Claim,
    public_key: Any,
    *,
    address: str,
    now: datetime,
    serial: int,
) -> Activation:
    """Make the device of *claim* a node and certify *public_key* for it.

    The same fingerprint always becomes the same node. Denied for a wrong token, NotFound for an
    unknown batch or a fingerprint that is not on its list, QuotaExceeded when the batch is full,
    Invalid when the name it would get belongs to another device. An install token says which node
    or batch, stands for the batch's token, and is used up unless activation fails.
    """
    token = offered(tx, claim.install_token, now=now) if claim.install_token else None
    if token is not None:
        tx.delete_install_token(token.digest)
    if token is not None and token.kind is TargetKind.NODE:
        existing_node(tx, token.namespace, token.name)
        return _certify(
            tx, authority, token.namespace, token.name, public_key, now=now, serial=serial
        )
    batch = _batch_of(tx, claim, token)
    record = tx.record_by_fingerprint(batch.namespace, batch.name, claim.fingerprint_value)
    if record is None:
        record = _new_record(tx, batch, claim, now)
    if not record.active:
        _check_not_taken(tx, record)
    _ensure_node(tx, batch, record, now)
    tx.put_record(replace(record, active=True, active_ip=address, active_time=now, updated=now))
    return _certify(
        tx, authority, record.namespace, record.node_name, public_key, now=now, serial=serial
    )


def _certify(
    tx: Transaction,
    authority: Authority,
    namespace: str,
    name: str,
    public_key: Any,
    *,
    now: datetime,
    serial: int,
) -> Activation:
    identity = node_id(namespace, name)
    issued = authority.issue_node(public_key, identity, now=now, serial=serial)
    tx.put_certificate(NodeCertificate(issued.serial, identity, now, issued.not_after))
    return Activation(namespace, name, issued.certificate_pem)


def _batch_of(tx: Transaction, claim: Claim, token: InstallToken | None) -> Batch:
    """The batch the device may activate in: the token's, or the one whose key it shows."""
    if not claim.fingerprint_value:
        raise Invalid("fingerprintValue", "missing")
    if token is not None:
        return existing_batch(tx, token.namespace, token.name)
    if not claim.batch_name:
        raise Invalid("batchName", "missing")
    batch = existing_batch(tx, claim.namespace, claim.batch_name)
    _check_security(batch, claim)
    return batch


def _check_security(batch: Batch, claim: Claim) -> None:
    spec = batch.spec
    if claim.security_type != spec.security_type.value:
        raise Denied(f"the batch wants the security type {spec.security_type.value}")
    if spec.security_type is SecurityType.TOKEN and not hmac.compare_digest(
        claim.security_value.encode(), spec.security_key.encode()
    ):
        raise Denied("the token is not the batch's")


def _new_record(tx: Transaction, batch: Batch, claim: Claim, now: datetime) -> Record:
    """Record for a device of a batch without whitelist that was not seen before."""
    if batch.spec.enable_whitelist:
        raise NotFound("record", claim.fingerprint_value[:80])
    if tx.count_records(batch.namespace, batch.name) >= batch.spec.quota_num:
        raise QuotaExceeded(batch.name, batch.spec.quota_num)
    name = normalised(claim.fingerprint_value)
    check_node_name("fingerprintValue", batch.namespace, name)
    if tx.node(batch.namespace, name) is not None:
        # No operator has said that this device is that node.
        raise Invalid("fingerprintValue", "a node of that name is there already")
    return checked_record(
        Record(batch.namespace, batch.name, name, name, name, created=now, updated=now)
    )


def _check_not_taken(tx: Transaction, record: Record) -> None:
    """Refuse a second device the name of a node that another record has become."""
    for other in tx.records_of_node(record.namespace, record.node_name):
        if other.active and (other.batch, other.name) != (record.batch, record.name):
            raise Invalid("fingerprintValue", "its node name belongs to another device")


def _ensure_node(tx: Transaction, batch: Batch, record: Record, now: datetime) -> None:
    """Make the node, or give one that waited for its device the labels of the batch it lacks."""
    node = tx.node(record.namespace, record.node_name)
    if node is None:
        spec = checked_node_spec(record.node_name, NodeSpec(labels=dict(batch.spec.labels)))
        tx.put_node(Node(record.namespace, record.node_name, spec, now, now))
    elif not record.active:
        labels = {**batch.spec.labels, **node.spec.labels}
        if labels != node.spec.labels:
            tx.put_node(
                replace(node, spec=msgspec.structs.replace(node.spec, labels=labels), updated=now)
            )
