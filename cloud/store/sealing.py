"""Encrypt secrets at rest: AES-256-GCM, bound to their place.

A sealed text is `sealed:1:{key id}:{base64 of nonce and ciphertext}`: what is in it can be opened
only with that key, and only as the thing (kind, namespace, name) it was sealed as.
"""

import base64
import binascii
import hmac
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud.errors import Unavailable
from cloud.store.statements import statement

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = "sealed:1"

# The text by which a database knows its key.
SEALED_CHECK = statement("SELECT sealed FROM sealing WHERE id = 1", reads={"sealing"})
PUT_SEALED_CHECK = statement(
    "INSERT INTO sealing (id, sealed) VALUES (1, :sealed)",
    writes={"sealing"},
)
RESEAL_CHECK = statement("UPDATE sealing SET sealed = :sealed WHERE id = 1", writes={"sealing"})

CHECK_PLACE = ("check", "database", "key")
"""Place of that text."""


class Sealer:
    """Owns the key; safe to use from several threads."""

    def __init__(self, key: bytes, *, random: Callable[[int], bytes] = os.urandom) -> None:
        if len(key) != KEY_BYTES:
            raise Unavailable(f"a sealing key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self._random = random
        # Identifies the key that a sealed text needs; reveals nothing else.
        self._key_id = hmac.digest(key, b"edgesync key id", "sha256")[:8].hex()

        # Signs the tokens of lists; reveals nothing of the key.
        self.list_key = hmac.digest(key, b"edgesync list tokens", "sha256")
        # Seals the cookies of sessions; as little.
        self.session_key = hmac.digest(key, b"edgesync sessions", "sha256")

    def __repr__(self) -> str:
        return f"Sealer({self._key_id})"

    def seal(self, plain: bytes, *place: str) -> str:
        """Text that only `unseal` with this key and the same *place* can read."""
        nonce = self._random(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, plain, self._bound_to(place))
        return f"{_FORMAT}:{self._key_id}:{base64.b64encode(sealed).decode()}"

    def unseal(self, text: str, *place: str) -> bytes:
        """The plain bytes of *text*; Unavailable with another key, place or a changed text."""
        shown = "/".join(place)
        known, _, rest = text.rpartition(":")
        if known != f"{_FORMAT}:{self._key_id}":
            raise Unavailable(f"{shown} was sealed with another key than {self._key_id}")
        try:
            sealed = base64.b64decode(rest, validate=True)
            nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, ciphertext, self._bound_to(place))
        except (binascii.Error, ValueError, InvalidTag) as error:
            raise Unavailable(f"{shown} cannot be unsealed: it was changed or moved") from error

    def _bound_to(self, place: tuple[str, ...]) -> bytes:
        return msgspec.json.encode((_FORMAT, self._key_id, *place))


def is_plain(text: str) -> bool:
    """Whether *text* is an object in JSON; no sealed text is."""
    return text.startswith("{")


def load_or_create_sealer(path: Path) -> Sealer:
    """A sealer with the key in the file *path*; see `load_or_create_key`."""
    return Sealer(load_or_create_key(path))


def load_or_create_key(path: Path) -> bytes:
    """The key in the file *path* (base64), made at random when there is no such file.

    Unavailable if others than the owner may read it, or if it holds no key.
    """
    if not path.exists():
        _create(path, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise Unavailable(f"the key file {path} can be used by others: chmod 600 it")
        text = file.read()
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise Unavailable(f"the key file {path} does not hold a key") from error
    if len(key) != KEY_BYTES:
        raise Unavailable(f"the key file {path} does not hold a key of {KEY_BYTES} bytes")
    return key


def _create(path: Path, content: bytes) -> None:
    """Put the whole file there at once, unless another process just did."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
        sync_directory(path.parent)
    finally:
        Path(name).unlink()


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
