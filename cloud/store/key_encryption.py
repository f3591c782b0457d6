"""Envelope encryption: the key of a database lies in its file encrypted with a key from outside.

The text in the file is `encrypted:1:{id of the key}:{id of the key that encrypts it}:{base64}`. The
first id is the one that sealed texts begin with, so which database a file belongs to is known
without the key from outside.
"""

import base64
import binascii
import hmac
import os
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud.errors import Unavailable
from cloud.store.key_commands import run_key_command
from cloud.store.permissions import secret_file_trouble

KEY_BYTES = 32
FORMAT = "encrypted:1"
_NONCE_BYTES = 12
_COMMAND_ID = "command"


class KeyEncryption(Protocol):
    """Encrypts keys; *bound* is what an encrypted key belongs to.

    Unavailable names the setting that cannot be used.
    """

    @property
    def setting(self) -> str:
        """The setting that it is from, for errors."""
        ...

    @property
    def id(self) -> str:
        """Identifies the key that encrypts; reveals nothing else."""
        ...

    def encrypt(self, key: bytes, bound: bytes) -> bytes:
        """The encrypted *key*."""
        ...

    def decrypt(self, encrypted: bytes, bound: bytes) -> bytes:
        """The key that was encrypted."""
        ...


class KeyFromOutside:
    """Encrypts with AES-256-GCM and the key that the *setting* names."""

    def __init__(self, setting: str, key: bytes) -> None:
        self._setting = setting
        self._cipher = AESGCM(key)
        self._id = hmac.digest(key, b"edgesync key encryption key id", "sha256")[:8].hex()

    def __repr__(self) -> str:
        return f"KeyFromOutside({self._setting}, {self._id})"

    @property
    def setting(self) -> str:
        """The setting that names the key."""
        return self._setting

    @property
    def id(self) -> str:
        """Identifies the key."""
        return self._id

    def encrypt(self, key: bytes, bound: bytes) -> bytes:
        """Nonce and ciphertext."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, bound)

    def decrypt(self, encrypted: bytes, bound: bytes) -> bytes:
        """The key; Unavailable if *encrypted* was changed."""
        try:
            return self._cipher.decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], bound)
        except (ValueError, InvalidTag) as error:
            raise Unavailable(
                f"{self._setting}: cannot decrypt the key, which was changed"
            ) from error


class KeyFromCommand:
    """Encrypts with a key that only commands can use, of a KMS or a PKCS#11 token for example.

    Both are lists of a program and its arguments. The one that encrypts reads the key, in base64,
    from its standard input; the other one gets what that wrote, and writes the key.
    """

    setting = "key_decryption_command"
    id = _COMMAND_ID

    def __init__(self, encrypt: tuple[str, ...], decrypt: tuple[str, ...]) -> None:
        self._encrypt = encrypt
        self._decrypt = decrypt

    def encrypt(self, key: bytes, bound: bytes) -> bytes:  # the key's id is checked
        """What the command wrote."""
        encrypted = run_key_command("key_encryption_command", self._encrypt, base64.b64encode(key))
        if not encrypted:
            raise Unavailable("key_encryption_command: wrote nothing")
        return encrypted

    def decrypt(self, encrypted: bytes, bound: bytes) -> bytes:
        """The key that the command wrote; Unavailable if that is none."""
        text = run_key_command(self.setting, self._decrypt, encrypted)
        return decoded_key(text, f"{self.setting}: what it wrote")


def decoded_key(text: bytes, where: str) -> bytes:
    """The key that *text*, of *where*, holds in base64; Unavailable if there is none."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise Unavailable(f"{where} does not hold a key") from error
    if len(key) != KEY_BYTES:
        raise Unavailable(f"{where} does not hold a key of {KEY_BYTES} bytes")
    return key


def key_from_file(path: Path) -> KeyEncryption:
    """The key in the file *path*; Unavailable if it cannot be read, or others can use it."""
    setting = "key_encryption_file"
    try:
        trouble, text = secret_file_trouble(path), path.read_bytes()
    except OSError as error:
        raise Unavailable(f"{setting}: {path}: {error.strerror}") from error
    if trouble:
        raise Unavailable(f"{setting}: {trouble}")
    return KeyFromOutside(setting, decoded_key(text, f"{setting}: {path}"))


def key_from_variable(name: str, value: str | None) -> KeyEncryption:
    """The key that is the *value* of the variable *name*; Unavailable if there is none."""
    setting = "key_encryption_variable"
    if value is None:
        raise Unavailable(f"{setting}: the environment has no variable {name}")
    return KeyFromOutside(setting, decoded_key(value.encode(), f"{setting}: {name}"))


def key_id(key: bytes) -> str:
    """Identifies the *key* of a database; reveals nothing else."""
    return hmac.digest(key, b"edgesync key id", "sha256")[:8].hex()


def is_encrypted(text: bytes) -> bool:
    """Whether the content of a key file is encrypted."""
    return text.startswith(FORMAT.encode())


def encrypted_key(key: bytes, encryption: KeyEncryption) -> bytes:
    """The content of a file for *key*; Unavailable if it could not be decrypted again."""
    head = f"{FORMAT}:{key_id(key)}:{encryption.id}"
    encrypted = encryption.encrypt(key, head.encode())
    text = f"{head}:{base64.b64encode(encrypted).decode()}\n".encode()
    if decrypted_key(text, encryption, encryption.setting) != key:
        raise Unavailable(f"{encryption.setting}: does not decrypt what was encrypted")
    return text


def decrypted_key(text: bytes, encryption: KeyEncryption, where: str) -> bytes:
    """The key that *text*, the content of the file *where*, has encrypted.

    Unavailable, with what is wrong, if *encryption* is not what it was encrypted with.
    """
    head, own_id, used_id, encrypted = _parts(text, where)
    if used_id != encryption.id:
        raise Unavailable(
            f"{where} is encrypted with the key {used_id}, and {encryption.setting} holds"
            f" {encryption.id}"
        )
    key = encryption.decrypt(encrypted, head)
    if key_id(key) != own_id:
        raise Unavailable(f"{encryption.setting}: returned another key than the one of {where}")
    return key


def id_in(text: bytes, where: str) -> str:
    """Id of the key that *text* holds, encrypted or in plain; Unavailable if there is none."""
    if is_encrypted(text):
        return _parts(text, where)[1]
    return key_id(decoded_key(text, where))


def _parts(text: bytes, where: str) -> tuple[bytes, str, str, bytes]:
    head, _, encoded = text.strip().rpartition(b":")
    try:
        _, _, own_id, used_id = head.decode("ascii").split(":")
        return head, own_id, used_id, base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise Unavailable(f"{where} does not hold an encrypted key") from error
