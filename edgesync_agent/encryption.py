"""The keys to which the server seals secrets for this machine (docs/protocol.md, "Sealed secrets").

They stand in one file beside the identity: the newest is proved to the server in each report, those
before it open what is still sealed to them. A key and its signature are made once.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any, Callable, Collection, Mapping

from edgesync_agent.certificate import run_openssl
from edgesync_agent.clock import Clock
from edgesync_agent.errors import AgentError
from edgesync_agent.files import replace_file
from edgesync_agent.hpke import KEY_BYTES, open_sealed, public_key
from edgesync_agent.libcrypto import Primitives, find_primitives

KEYS_FILE = "encryption.json"
AHEAD = 3600.0  # seconds that a key may be from the future, before the server's time was known
PROVED = ("key", "time", "signer", "signature")


class UnknownKey(ValueError):
    """Something is sealed to a key that is not here."""


def binding(node_id: str, value: Mapping[str, Any]) -> str:
    """What the body of a secret of that node is bound to."""
    kind = (value.get("labels") or {}).get("secret-type", "")
    parts = ("edgesync sealed secret", node_id, kind, value["name"], value["version"])
    return "\n".join(str(part) for part in parts)


class EncryptionKeys:
    """The keys in *home*; *identity* is the folder with the key of the certificate.

    Where there is no library for them there are none, and secrets come in plain text.
    """

    def __init__(
        self,
        home: Path,
        identity: Path,
        openssl: str | None,
        clock: Clock,
        note: Callable[[str], None],
        find: Callable[[], Primitives | None] = find_primitives,
    ) -> None:
        self._path = home / KEYS_FILE
        self._identity = identity
        self._openssl = openssl
        self._clock = clock
        self._note = note
        self._primitives = find()
        self._signer = ""  # of the certificate; read when it is needed first
        self._keys: list[dict[str, Any]] = []  # the newest first
        try:
            self._keys = list(json.loads(self._path.read_text())["keys"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            note(f"the encryption keys cannot be read: {error}")
        if self._primitives is None:
            note(
                "secrets cannot be sealed to this machine: Python has no library of OpenSSL with"
                " X25519 and ChaCha20-Poly1305, and no package cryptography"
            )

    def proof(self) -> dict[str, Any] | None:
        """The `encryptionKey` of a report or an activation; None where there can be none."""
        if self._primitives is None:
            return None
        try:
            if not self._keys or not self._is_good(self._keys[0]):
                self._make(self.names())
            return {name: self._keys[0][name] for name in PROVED}
        except (AgentError, OSError, ValueError) as error:
            self._note(f"there is no encryption key: {error}")
            self._primitives = None
            return None

    def renew(self, in_use: Collection[str] = ()) -> None:
        """Make the next key; of those before, the last one stays and those *in_use*."""
        if self._primitives is None:
            return
        try:
            self._make([*self.names()[:1], *in_use])
        except (AgentError, OSError, ValueError) as error:
            self._note(f"the encryption key stays the same: {error}")

    def names(self) -> list[str]:
        """The public keys, the newest first."""
        return [str(one["key"]) for one in self._keys]

    def open(self, sealed: Mapping[str, Any], info: str) -> dict[str, str]:
        """The `data` of a secret; UnknownKey, or ValueError if it is not what *info* states."""
        if self._primitives is None:
            raise UnknownKey("this machine has no library to open it")
        own = [one for one in self._keys if one["key"] == sealed.get("key")]
        if not own:
            raise UnknownKey("it is sealed to a key that is not here")
        private = base64.b64decode(own[0]["private"])
        content = base64.b64decode(str(sealed.get("content")))
        data = json.loads(open_sealed(self._primitives, private, content, info.encode()))
        try:
            return {str(name): str(value) for name, value in data.items()}
        except AttributeError as error:
            raise ValueError("it is not a map") from error

    def _is_good(self, key: Mapping[str, Any]) -> bool:
        """Whether the server can take it over: of this certificate, and not from the future."""
        return bool(key["signer"] == self._own() and key["time"] <= self._clock.now() + AHEAD)

    def _make(self, stay: Collection[str]) -> None:
        """Make a key, later than the newest unless that is from the future, and keep it."""
        assert self._primitives is not None  # noqa: S101
        now = int(self._clock.now())
        if self._keys and self._keys[0]["time"] <= now + AHEAD:
            now = max(now, int(self._keys[0]["time"]) + 1)
        private = os.urandom(KEY_BYTES)
        key = _text(public_key(self._primitives, private))
        signed = f"edgesync encryption key\n{key}\n{now}\n".encode()
        new = {
            "private": _text(private),
            "key": key,
            "time": now,
            "signer": self._own(),
            "signature": _text(_signature(self._identity / "key.pem", signed, self._openssl)),
        }
        keys = [new, *(one for one in self._keys if one["key"] in stay)]
        replace_file(self._path, json.dumps({"keys": keys}, indent=1).encode())
        self._keys = keys

    def _own(self) -> str:
        self._signer = self._signer or _text(_public(self._identity / "key.pem", self._openssl))
        return self._signer


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _public(key: Path, openssl: str | None) -> bytes:
    """SubjectPublicKeyInfo of a private key, DER."""
    if openssl:
        return run_openssl([openssl, "pkey", "-in", str(key), "-pubout", "-outform", "DER"])
    from cryptography.hazmat.primitives import serialization

    private = serialization.load_pem_private_key(key.read_bytes(), None)
    der, info = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(private.public_key().public_bytes(der, info))


def _signature(key: Path, text: bytes, openssl: str | None) -> bytes:
    if openssl:
        return run_openssl([openssl, "dgst", "-sha256", "-sign", str(key)], text)
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private: Any = serialization.load_pem_private_key(key.read_bytes(), None)
    return bytes(private.sign(text, ec.ECDSA(hashes.SHA256())))
