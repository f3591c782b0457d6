"""Certificates and keys as PEM files: read and checked, written whole or not at all."""

import contextlib
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.errors import BadAuthority, BadPassphrase, UnsafePermissions
from certs.keys import ENCRYPTED, SigningKey


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate in *path*; BadAuthority if there is none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError as error:
        raise BadAuthority(path, "is missing") from error
    except ValueError as error:
        raise BadAuthority(path, "is not a certificate in PEM") from error


def read_key(
    path: Path, certificate: x509.Certificate, passphrase: bytes | None = None
) -> SigningKey:
    """The key in *path*, which has to be that of *certificate*.

    UnsafePermissions if others can read it. BadPassphrase if it is encrypted and *passphrase* does
    not open it, and also if it is plain where there is one: encryption is expected.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise UnsafePermissions(path)
        pem = path.read_bytes()
    except FileNotFoundError as error:
        raise BadAuthority(path, "is missing") from error
    key = _opened(path, pem, passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise BadAuthority(path, "is neither an ECDSA nor an RSA key")
    if key.public_key() != certificate.public_key():
        raise BadAuthority(path, "is not the key of the certificate beside it")
    return key


def _opened(path: Path, pem: bytes, passphrase: bytes | None) -> object:
    is_encrypted = ENCRYPTED in pem
    if is_encrypted and passphrase is None:
        raise BadPassphrase(path, "is encrypted, and no passphrase is given")
    if not is_encrypted and passphrase is not None and b"PRIVATE KEY" in pem:
        raise BadPassphrase(path, "is not encrypted although a passphrase is given")
    try:
        return load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError) as error:
        if is_encrypted:
            raise BadPassphrase(path, "cannot be opened with this passphrase") from error
        raise BadAuthority(path, "is not a private key in PEM") from error


def write_file(path: Path, content: bytes) -> None:
    """Replace *path* with *content*, durably, and never readable by others."""
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def update_file(path: Path, content: bytes) -> None:
    """As `write_file`, where *path* does not hold *content* already, for its owner alone."""
    with contextlib.suppress(OSError):
        is_private = not path.stat().st_mode & 0o077
        if is_private and path.read_bytes() == content:
            return
    write_file(path, content)


def sync_directory(directory: Path) -> None:
    """Make the names in *directory* durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
