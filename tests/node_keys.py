"""Keys of a node as a device makes them: by the page docs/protocol.md, "Sealed secrets"."""

import base64
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class NodeKeys:
    """The key of a certificate, and the encryption key that it proves."""

    signer: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    private: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    @cached_property
    def key(self) -> str:
        return text_of(self.private.public_key().public_bytes_raw())

    def proof(self, time: int, /, **changes: Any) -> dict[str, Any]:
        """The `encryptionKey` of activations and reports."""
        public = self.signer.public_key()
        signed = f"edgesync encryption key\n{self.key}\n{time}\n".encode()
        found = {
            "key": self.key,
            "time": time,
            "signer": text_of(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
            "signature": text_of(self.signer.sign(signed, ec.ECDSA(hashes.SHA256()))),
        }
        return {**found, **changes}

    def opened(self, node_id: str, body: dict[str, Any], **bound: str) -> dict[str, str]:
        """The `data` of a sealed body; InvalidTag, ValueError where it is bound to other things."""
        bound = {
            "node": node_id,
            "type": body["labels"]["secret-type"],
            "name": body["name"],
            "version": body["version"],
            **bound,
        }
        info = "\n".join(("edgesync sealed secret", *bound.values())).encode()
        content = base64.b64decode(body["sealed"]["content"])
        data: dict[str, str] = msgspec.json.decode(SUITE.decrypt(content, self.private, info=info))
        return data
