"""Secrets that the nodes of a NATS cluster and the servers on it share.

`edgesync broker config nats` makes them; servers read the file (`broker_credentials_file`).
"""

import base64
import binascii
import json
import secrets
from dataclasses import asdict, dataclass, fields
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.errors import MalformedCredentials

_ACCOUNT = 0  # prefix byte of the public key of an account: its text begins with A (nkeys)
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsCredentials:
    """All of them are hexadecimal, of 32 bytes."""

    password: str
    """Of servers."""
    system_password: str
    """Of servers where they end the connections of nodes."""
    route_password: str
    """Of the nodes of the cluster, to each other."""
    issuer: str
    """Private key (Ed25519) that signs the answers to authorization requests."""

    @classmethod
    def new(cls) -> Self:
        """Random ones."""
        return cls(**{field.name: secrets.token_hex(_SECRET_BYTES) for field in fields(cls)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """What `as_json` wrote; MalformedCredentials if it cannot be read."""
        names = [field.name for field in fields(cls)]
        try:
            content = json.loads(text)
            values = {name: content[name] for name in names}
            lengths = {len(bytes.fromhex(value)) for value in values.values()}
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedCredentials(f"{error!r}") from error
        if lengths != {_SECRET_BYTES}:
            raise MalformedCredentials(f"not of {_SECRET_BYTES} bytes each")
        return cls(**values)

    def as_json(self) -> str:
        """The text of the file."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @property
    def key(self) -> Ed25519PrivateKey:
        """The private key of *issuer*."""
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.issuer))

    @property
    def issuer_name(self) -> str:
        """The public key of *issuer* as NATS writes that of an account.

        Base32 of a prefix byte, the key, and its CRC-16 (XMODEM), little endian.
        """
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        content = bytes((_ACCOUNT,)) + public
        checksum = binascii.crc_hqx(content, 0).to_bytes(2, "little")
        return base64.b32encode(content + checksum).decode().rstrip("=")
