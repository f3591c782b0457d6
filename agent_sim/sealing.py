"""The keys to which the server seals secrets (docs/protocol.md, "Sealed secrets").

The newest is proved in each report by the key of the certificate; those before it open what was
sealed to them.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent_sim.model import Body

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
AHEAD = 3600
"""Seconds that a key may be from the future: it was made before the server's time was known."""

KEPT = 3
"""Keys that a node has at most; those before the newest open answers that are on their way."""


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key pair, and the signature that proves it; all but *time* in base64."""

    private: str
    key: str
    time: int
    signer: str
    signature: str

    @property
    def proof(self) -> dict[str, Any]:
        """The `encryptionKey` of a report or an activation."""
        return {
            "key": self.key,
            "time": self.time,
            "signer": self.signer,
            "signature": self.signature,
        }


@dataclass(frozen=True, slots=True)
class SealingKeys:
    """The keys of a node, the newest first."""

    keys: tuple[SealingKey, ...] = ()

    @property
    def newest(self) -> SealingKey | None:
        """The one that is proved, if there is one."""
        return self.keys[0] if self.keys else None

    def is_current(self, signer: ec.EllipticCurvePrivateKey, now: int) -> bool:
        """Whether the server can take over the newest: of that certificate, not from the future."""
        own = self.newest
        return own is not None and own.signer == _spki(signer) and own.time <= now + AHEAD

    def renewed(self, signer: ec.EllipticCurvePrivateKey, now: int) -> "SealingKeys":
        """With another key, later than the newest unless that is from the future."""
        own = self.newest
        if own is not None and own.time <= now + AHEAD:
            now = max(now, own.time + 1)
        return SealingKeys((_new_key(signer, now), *self.keys[: KEPT - 1]))

    def why_shut(self, node_id: str, body: Body) -> str:
        """Why a sealed *body* does not open; empty if it does."""
        try:
            self._opened(node_id, body)
        except (KeyError, TypeError, AttributeError, ValueError, InvalidTag) as error:
            return f"cannot be opened: {str(error) or 'it was sealed otherwise, or changed'}"
        return ""

    def _opened(self, node_id: str, body: Body) -> Mapping[str, str]:
        sealed = body["sealed"]
        own = next((one for one in self.keys if one.key == sealed["key"]), None)
        if own is None:
            raise ValueError("it is sealed to a key that is not here")
        parts = (node_id, body["labels"]["secret-type"], body["name"], body["version"])
        info = "\n".join(("edgesync sealed secret", *parts)).encode()
        private = X25519PrivateKey.from_private_bytes(base64.b64decode(own.private))
        content = base64.b64decode(sealed["content"], validate=True)
        plain = SUITE.decrypt(content, private, info=info)
        data: dict[str, str] = msgspec.json.decode(plain, type=dict[str, str])
        for name, text in data.items():
            try:
                base64.b64decode(text, validate=True)
            except binascii.Error as error:
                raise ValueError(f"data[{name!r}]: not base64") from error
        return data


def _new_key(signer: ec.EllipticCurvePrivateKey, now: int) -> SealingKey:
    private = X25519PrivateKey.generate()
    key = _text(private.public_key().public_bytes_raw())
    signed = f"edgesync encryption key\n{key}\n{now}\n".encode()
    signature = _text(signer.sign(signed, ec.ECDSA(hashes.SHA256())))
    return SealingKey(_text(private.private_bytes_raw()), key, now, _spki(signer), signature)


def _spki(key: ec.EllipticCurvePrivateKey) -> str:
    return _text(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
