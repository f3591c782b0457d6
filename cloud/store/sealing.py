"""Encrypt secrets at rest: AES-256-GCM, bound to their place.

A sealed text is `sealed:1:{key id}:{base64 of nonce and ciphertext}`: what is in it can be opened
only with that key, and only as the thing (kind, namespace, name) it was sealed as.
"""

import base64
import binascii
import contextlib
import hmac
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud.errors import Unavailable
from cloud.store.key_encryption import (
    KEY_BYTES,
    KeyEncryption,
    decoded_key,
    decrypted_key,
    encrypted_key,
    id_in,
    is_encrypted,
    key_id,
)
from cloud.store.statements import statement

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
        self._key_id = key_id(key)

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


def sealed_with(text: str) -> str:
    """Id of the key that *text* was sealed with; empty if it is not sealed."""
    head, _, _ = text.rpartition(":")
    return head.removeprefix(f"{_FORMAT}:") if head.startswith(_FORMAT) else ""


def load_or_create_sealer(path: Path, encryption: KeyEncryption | None = None) -> Sealer:
    """A sealer with the key in the file *path*, made at random when there is no such file.

    The file is encrypted with *encryption*, or plain without one. Unavailable, and nothing is
    changed, if it is not encrypted so, or as `load_or_create_key`.
    """
    if not path.exists():
        _create(path, _content(os.urandom(KEY_BYTES), encryption))
    return Sealer(load_sealing_key(path, encryption))


def load_sealing_key(path: Path, encryption: KeyEncryption | None) -> bytes:
    """The key in the file *path*; Unavailable as `load_or_create_sealer`, or without the file."""
    text = _read(path)
    if is_encrypted(text):
        if encryption is None:
            raise Unavailable(
                f"{path} is encrypted: name its key by key_encryption_file,"
                " key_encryption_variable or key_decryption_command"
            )
        return decrypted_key(text, encryption, str(path))
    key = decoded_key(text, f"the key file {path}")
    if encryption is not None:
        raise Unavailable(
            f"{path} is not encrypted, and {encryption.setting} is set: encrypt it with `edgesync"
            " rekey --key-only`, or remove the setting"
        )
    return key


def replace_sealing_key(path: Path, key: bytes, encryption: KeyEncryption | None) -> None:
    """Have the file *path* hold *key*, encrypted with *encryption*, at once and for good."""
    with _written_beside(path, _content(key, encryption)) as partial:
        os.replace(partial, path)
        sync_directory(path.parent)


def sealing_key_id(path: Path) -> str:
    """Id of the key in the file *path*, for which it need not be decrypted."""
    return id_in(_read(path), f"the key file {path}")


def load_or_create_key(path: Path) -> bytes:
    """The key in the file *path* (base64), made at random when there is no such file.

    Unavailable if others than the owner may read it, or if it holds no key.
    """
    if not path.exists():
        _create(path, _content(os.urandom(KEY_BYTES), None))
    return decoded_key(_read(path), f"the key file {path}")


def _content(key: bytes, encryption: KeyEncryption | None) -> bytes:
    if encryption is None:
        return base64.b64encode(key) + b"\n"
    return encrypted_key(key, encryption)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise Unavailable(f"the key file {path} can be used by others: chmod 600 it")
            return file.read()
    except OSError as error:
        raise Unavailable(f"the key file {path}: {error.strerror}") from error


def _create(path: Path, content: bytes) -> None:
    """Put the whole file there at once, unless another process just did."""
    with _written_beside(path, content) as partial:
        try:
            os.link(partial, path)
        except FileExistsError:
            return
        sync_directory(path.parent)


@contextlib.contextmanager
def _written_beside(path: Path, content: bytes) -> Iterator[Path]:
    """A file with *content* in the directory of *path*, on disk; removed if it is still there."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
