"""The key of a node to which secrets are sealed (docs/protocol.md, "Sealed secrets").

A node proves with the key of its certificate that the encryption key is its own: otherwise an
attacker between node and server could have secrets sealed to another key.
"""

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from cloud.core.tokens import EVERYWHERE
from cloud.errors import Invalid

FIELD = "encryptionKey"
"""Where activations and reports have the proof."""

KEY_BYTES = 32
"""Length of a public key of X25519 (RFC 7748)."""

TEXT_LIMIT = 2048
"""Characters of a signature or of the key that made it: RSA of 4096 bits has 736."""

AHEAD = timedelta(days=1)
"""How far ahead of the server's clock the time of a proof may be."""


class EncryptionKeyProof(msgspec.Struct, frozen=True):
    """An encryption key, and a signature by which its node proves it.

    All but *time*, in seconds since 1970, is base64: the public key, the SubjectPublicKeyInfo of
    who signed, and the signature of `signed_text`.
    """

    key: str
    time: int
    signer: str
    signature: str

    @property
    def signed_text(self) -> bytes:
        """What the signature is of."""
        return f"edgesync encryption key\n{self.key}\n{self.time}\n".encode()


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """The encryption key of a node in base64; its node made it at *time*, seconds since 1970."""

    key: str
    time: int

    @property
    def public_bytes(self) -> bytes:
        """The key itself."""
        return base64.b64decode(self.key)


def is_newer(proof: EncryptionKeyProof, known: EncryptionKey | None, now: datetime) -> bool:
    """Return whether *proof* is of a key that follows the one *known*.

    A proof that is sent again does not replace a later key. One from the future, of a device with a
    wrong clock, is not newer: no key that is made at the right time could follow it.
    """
    if known is not None and (proof.key == known.key or proof.time <= known.time):
        return False
    return proof.time <= (now + AHEAD).timestamp()


def proof_bytes(field: str, proof: EncryptionKeyProof) -> tuple[bytes, bytes, bytes]:
    """Key, signer and signature of *proof*; Invalid names what cannot be one below *field*."""
    if not 0 <= proof.time < 2**53:
        raise Invalid(f"{field}.time", "is no number of seconds since 1970")
    key, signer, signature = (
        _decoded(f"{field}.{name}", getattr(proof, name)) for name in ("key", "signer", "signature")
    )
    if len(key) != KEY_BYTES or base64.b64encode(key).decode() != proof.key:
        raise Invalid(f"{field}.key", f"is not {KEY_BYTES} bytes in base64")
    return key, signer, signature


def _decoded(field: str, text: str) -> bytes:
    if len(text) > TEXT_LIMIT:
        raise Invalid(field, f"is longer than {TEXT_LIMIT} characters")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(field, "is not base64") from error


def seal_binding(node_id: str, secret_type: str, name: str, version: str) -> bytes:
    """What a sealed body is bound to; it opens as no other.

    It is the `info` of HPKE, where those that seal one message in a context put data to be
    authenticated with it (RFC 9180, 8.1).
    """
    return "\n".join(("edgesync sealed secret", node_id, secret_type, name, version)).encode()


class SecretDelivery(StrEnum):
    """How secrets and registry passwords reach a node."""

    SEALED = "sealed"
    PLAIN = "plain"
    WITHHELD = "withheld"


WITHHELD_WORDS = "secrets are delivered sealed only, and the node has no encryption key"
"""Why a node does not get a secret."""


@dataclass(frozen=True, slots=True)
class SealingPolicy:
    """The namespaces whose secrets only leave sealed (setting `require_sealed_secrets`)."""

    required: Collection[str] = ()

    def delivery(self, namespace: str, key: EncryptionKey | None) -> SecretDelivery:
        """How secrets of *namespace* reach a node with that *key*, or without one."""
        if key is not None:
            return SecretDelivery.SEALED
        is_required = namespace in self.required or EVERYWHERE in self.required
        return SecretDelivery.WITHHELD if is_required else SecretDelivery.PLAIN


SEALED_IF_POSSIBLE = SealingPolicy()
"""Secrets are sealed to nodes that have a key, and plain to others."""
