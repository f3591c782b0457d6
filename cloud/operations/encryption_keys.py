"""Encryption keys of nodes: proved, recorded and used to seal secrets."""

import base64
from datetime import datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from certs.errors import BadSignature
from certs.keys import key_digest
from certs.signatures import check_signature, signing_key
from cloud.core.delivery import SECRET_TYPE
from cloud.core.encryption_key import (
    FIELD,
    EncryptionKey,
    EncryptionKeyProof,
    is_newer,
    proof_bytes,
    seal_binding,
)
from cloud.core.names import split_node_id
from cloud.errors import Invalid
from cloud.store.transaction import Transaction

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
"""HPKE in base mode (RFC 9180): each part is what small devices do without hardware for it."""


ANY_PRIVATE_KEY = X25519PrivateKey.from_private_bytes(bytes(32))
"""With a point of low order it has no shared secret, like every other (RFC 7748, 6.1)."""


def checked_key(field: str, proof: EncryptionKeyProof) -> tuple[EncryptionKey, str]:
    """The key that *proof* proves, and the `key_digest` of the key that signed it.

    Invalid names what is wrong with it below *field*.
    """
    key, signer, signature = proof_bytes(field, proof)
    try:
        public = signing_key(signer)
    except BadSignature as error:
        raise Invalid(f"{field}.signer", error.reason) from error
    try:
        check_signature(public, signature, proof.signed_text)
    except BadSignature as error:
        raise Invalid(f"{field}.signature", error.reason) from error
    try:
        ANY_PRIVATE_KEY.exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError as error:
        raise Invalid(f"{field}.key", "is a point to which nothing can be sealed") from error
    return EncryptionKey(proof.key, proof.time), key_digest(public)


def receive_key(
    tx: Transaction,
    node_id: str,
    proof: EncryptionKeyProof | None,
    known: EncryptionKey | None,
    *,
    now: datetime,
) -> None:
    """Have secrets of the node sealed to the key of *proof*, of its report, if it follows *known*.

    Invalid, before anything is written, if a key other than that of one of its certificates signed
    it. A certificate of version 0.1.0 has no key on record until it connects: the proof waits.
    """
    if proof is None or not is_newer(proof, known, now):
        return
    field = f"content.{FIELD}"
    key, signer = checked_key(field, proof)
    keys = tx.live_keys(node_id)
    if signer in keys:
        tx.put_encryption_key(*split_node_id(node_id), key)
    elif "" not in keys:
        raise Invalid(f"{field}.signer", "is not the key of a certificate of this node")


def record_activated_key(
    tx: Transaction,
    node_id: str,
    proof: EncryptionKeyProof | None,
    *,
    is_same_device: bool,
    now: datetime,
) -> None:
    """Have secrets of a node that was activated sealed to the key of *proof*, which was checked.

    The same device keeps the key that it has, unless *proof* is of one that follows it: an
    activation can be repeated by others. Another one without a proof, or with one from the future,
    has no encryption key: the previous one is of the device before.
    """
    namespace, name = split_node_id(node_id)
    known = tx.encryption_key(namespace, name)
    if proof is not None and is_newer(proof, known if is_same_device else None, now):
        tx.put_encryption_key(namespace, name, EncryptionKey(proof.key, proof.time))
    elif known is not None and not is_same_device:
        tx.delete_encryption_key(namespace, name)


def check_own_key(proof: EncryptionKeyProof, key: str) -> None:
    """Invalid unless *proof*, of an activation, is signed by the key of that `key_digest`."""
    _, signer = checked_key(FIELD, proof)
    if signer != key:
        raise Invalid(f"{FIELD}.signer", "is not the key of the signing request")


def sealed_body(node_id: str, key: EncryptionKey, body: dict[str, Any]) -> dict[str, Any]:
    """The *body* of a secret or registry, with `sealed` in place of its `data`.

    That has the encryption key, and the `data` as JSON, sealed: the encapsulated key and the
    ciphertext, in base64.
    """
    binding = seal_binding(
        node_id, body["labels"][SECRET_TYPE], str(body["name"]), str(body["version"])
    )
    public = X25519PublicKey.from_public_bytes(key.public_bytes)
    content = SUITE.encrypt(msgspec.json.encode(body["data"]), public, info=binding)
    rest = {name: value for name, value in body.items() if name != "data"}
    sealed = {"key": key.key, "content": base64.b64encode(content).decode()}
    return {**rest, "sealed": sealed}
