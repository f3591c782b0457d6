"""An authority on disk: made whole or not at all, keys for their owner alone.

The directory holds `root.pem root.key intermediate.pem intermediate.key server.pem server.key`;
`server.pem` is the server's certificate followed by the intermediate.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.authority import Authority, IssuedCertificate
from certs.errors import BadAuthority, UnsafePermissions
from certs.keys import key_pem, new_private_key


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Where the server's certificate, with its chain, and its key are."""

    certificate_file: Path
    key_file: Path


def load_or_create_authority(directory: Path, *, now: datetime) -> Authority:
    """The authority kept in *directory*; a new one is made where there is no directory.

    UnsafePermissions if others can read a key, BadAuthority if files are missing or do not match.
    """
    if not directory.exists():
        _create(directory, now)
    root = _certificate(directory / "root.pem")
    intermediate = _certificate(directory / "intermediate.pem")
    _key(directory / "root.key", root)
    key = _key(directory / "intermediate.key", intermediate)
    try:
        intermediate.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise BadAuthority(directory, "root.pem has not signed intermediate.pem") from error
    return Authority(root, intermediate, key)


def ensure_server_certificate(
    directory: Path,
    authority: Authority,
    dns_names: Sequence[str],
    ip_addresses: Sequence[str],
    *,
    now: datetime,
) -> ServerCertificate:
    """A server certificate for exactly these names; the one on disk as long as it will do.

    A new one is made when names changed, when another authority signed it, and when less than a
    third of its life is left.
    """
    files = ServerCertificate(directory / "server.pem", directory / "server.key")
    if not _will_do(files, authority, {*dns_names, *ip_addresses}, now):
        key = new_private_key()
        issued = authority.issue_server(
            key.public_key(),
            dns_names,
            ip_addresses,
            now=now,
            serial=x509.random_serial_number(),
        )
        # Key first: a certificate whose key is not there yet is made again.
        _write(files.key_file, key_pem(key))
        _write(files.certificate_file, issued.chain_pem.encode())
    return files


def _create(directory: Path, now: datetime) -> None:
    """Make all files under another name, then give them theirs in one step."""
    partial = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    serials = (x509.random_serial_number(), x509.random_serial_number())
    authority, root_key = Authority.create(f"{serials[0]:x}"[:8], now=now, serials=serials)
    signed = IssuedCertificate(authority.intermediate, authority.root)
    _write(partial / "root.pem", authority.root_pem.encode())
    _write(partial / "root.key", key_pem(root_key))
    _write(partial / "intermediate.pem", signed.certificate_pem.encode())
    _write(partial / "intermediate.key", key_pem(authority.key))
    _sync(partial)
    partial.rename(directory)
    _sync(directory.parent)


def _will_do(
    files: ServerCertificate, authority: Authority, names: set[str], now: datetime
) -> bool:
    if not (files.certificate_file.exists() and files.key_file.exists()):
        return False
    try:
        certificate = _certificate(files.certificate_file)
        _key(files.key_file, certificate)
        certificate.verify_directly_issued_by(authority.intermediate)
    except (BadAuthority, InvalidSignature, ValueError, TypeError):
        return False
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends - now < (ends - begins) / 3 or now < begins:
        return False
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    held = extension.value.get_values_for_type(x509.DNSName)
    held += [str(address) for address in extension.value.get_values_for_type(x509.IPAddress)]
    return set(held) == names


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError as error:
        raise BadAuthority(path, "is missing") from error
    except ValueError as error:
        raise BadAuthority(path, "is not a certificate in PEM") from error


def _key(path: Path, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    try:
        if path.stat().st_mode & 0o077:
            raise UnsafePermissions(path)
        key = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise BadAuthority(path, "is missing") from error
    except (ValueError, TypeError) as error:
        raise BadAuthority(path, "is not an unencrypted private key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadAuthority(path, "is not an ECDSA key")
    if key.public_key() != certificate.public_key():
        raise BadAuthority(path, "is not the key of the certificate beside it")
    return key


def _write(path: Path, content: bytes) -> None:
    """Replace *path* with *content*, durably, and never readable by others."""
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
