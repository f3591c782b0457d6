"""Recipients of backups, in the form of `age-keygen`: a backup to them costs no second of CPU."""

from dataclasses import dataclass
from pathlib import Path

import pyrage

from cloud.store.archive_key import Decrypt, Encrypt, identity_decryption, recipient_encryption


@dataclass(frozen=True)
class Recipient:
    """Who can read what is encrypted to *public_key*."""

    public_key: str
    identity: str

    @property
    def encrypt(self) -> Encrypt:
        return recipient_encryption([self.public_key])

    @property
    def decrypt(self) -> Decrypt:
        return identity_decryption(self.identity)

    def identity_file(self, folder: Path) -> Path:
        """A new file *folder*/identity for its owner alone."""
        path = folder / "identity"
        path.touch(0o600)
        path.write_text(self.identity)
        return path


def new_recipient() -> Recipient:
    key = pyrage.x25519.Identity.generate()
    comments = f"# created: 2026-01-02T03:04:05Z\n# public key: {key.to_public()}\n"
    return Recipient(str(key.to_public()), f"{comments}{key}\n")
