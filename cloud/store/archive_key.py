"""Who can open an archive: its key is encrypted by age, with a passphrase or to recipients."""

from collections.abc import Callable, Iterable

import pyrage

from cloud.errors import Unavailable

Encrypt = Callable[[bytes], bytes]
"""The message of age in which something is."""

Decrypt = Callable[[bytes], bytes]
"""What is in a message of age; raises Unavailable."""

_HEADER = b"age-encryption.org/v1\n-> "
"""How a message begins; the kind of its first recipient follows."""


def passphrase_encryption(passphrase: str) -> Encrypt:
    """Encrypt with *passphrase*, which takes a second by design, and up to 1 GiB of memory."""
    return lambda key: pyrage.passphrase.encrypt(key, passphrase)


def passphrase_decryption(passphrase: str) -> Decrypt:
    """Decrypt with *passphrase*, at the cost of the encryption."""

    def decrypt(message: bytes) -> bytes:
        if message.startswith(_HEADER + b"X25519 "):
            raise Unavailable("the file has no passphrase: it is encrypted to recipients")
        try:
            plain: bytes = pyrage.passphrase.decrypt(message, passphrase)
        except pyrage.DecryptError as error:
            raise Unavailable(f"the passphrase does not decrypt the file: {error}") from error
        return plain

    return decrypt


def recipient_encryption(recipients: Iterable[str]) -> Encrypt:
    """Encrypt to *recipients*, public keys as `age-keygen` prints them.

    ValueError for something else, without showing it: it could be the private key.
    """
    try:
        keys = [pyrage.x25519.Recipient.from_str(text) for text in recipients]
    except pyrage.RecipientError as error:
        raise ValueError(f"not a public key of age: {error}") from error
    return lambda key: pyrage.encrypt(key, keys)


def identity_decryption(text: str) -> Decrypt:
    """Decrypt with any of the private keys in *text*, a file of `age-keygen`.

    ValueError, without showing it, if it is something else.
    """
    lines = [line.strip() for line in text.splitlines()]
    try:
        keys = [pyrage.x25519.Identity.from_str(x) for x in lines if x and not x.startswith("#")]
    except pyrage.IdentityError as error:
        raise ValueError(f"not a private key of age: {error}") from error
    if not keys:
        raise ValueError("no private key of age")

    def decrypt(message: bytes) -> bytes:
        if message.startswith(_HEADER + b"scrypt "):
            raise Unavailable("the file has no recipients: it is encrypted with a passphrase")
        try:
            plain: bytes = pyrage.decrypt(message, keys)
        except pyrage.DecryptError as error:
            raise Unavailable(f"no identity decrypts the file: {error}") from error
        return plain

    return decrypt
