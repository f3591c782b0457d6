"""An authority and its server certificate in a directory.

    root.pem           what clients trust
    root.key           needed for nothing after the first start; may be kept elsewhere
    intermediate.pem
    intermediate.key   signs
    server.pem         the server's certificate and the intermediate, as TLS sends them
    server.key         kept when server.pem is renewed; delete it to have a new one made

A crash leaves a file, and the authority as a whole, as it was before or as it is after.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from certs.authority import Authority
from certs.errors import (
    ForeignCertificate,
    IncompleteAuthority,
    KeyMismatch,
    UnreadableFile,
    UnsafePermissions,
)
from certs.keys import new_private_key, private_key_pem, read_private_key
from certs.profiles import alternative_names

ROOT, ROOT_KEY = "root.pem", "root.key"
INTERMEDIATE, INTERMEDIATE_KEY = "intermediate.pem", "intermediate.key"
SERVER, SERVER_KEY = "server.pem", "server.key"

_NEEDED = frozenset({ROOT, INTERMEDIATE, INTERMEDIATE_KEY})
_KEY_MODE, _PUBLIC_MODE = 0o600, 0o644
_SOMEBODY_WAS_FASTER = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Where the server's certificate chain and its key are, for `tls`."""

    certificate_file: Path
    key_file: Path


def load_or_create_authority(directory: Path, *, now: datetime) -> Authority:
    """Load the authority in *directory*, or make one there if that is empty or absent.

    The directory above has to exist, and *directory* may not itself be a mount point: a new
    authority is put in its place in one step. BadFiles if what is there cannot be trusted; no file
    is ever repaired or replaced here.
    """
    if not _names_in(directory):
        _create(directory, now)
    return load_authority(directory)


def load_authority(directory: Path) -> Authority:
    """Load what `load_or_create_authority` made; BadFiles says what is wrong with which file."""
    missing = _NEEDED - _names_in(directory)
    if missing:
        raise IncompleteAuthority(directory, missing)
    root_file, root_key_file = directory / ROOT, directory / ROOT_KEY
    intermediate_file, intermediate_key_file = (
        directory / INTERMEDIATE,
        directory / INTERMEDIATE_KEY,
    )
    root, intermediate = _only_certificate(root_file), _only_certificate(intermediate_file)
    if not _has_signed(root, root):
        raise ForeignCertificate(root_file, root_file)
    if not _has_signed(root, intermediate):
        raise ForeignCertificate(intermediate_file, root_file)
    if root_key_file.exists():
        _key_of(root, root_file, root_key_file)
    return Authority(
        root, intermediate, _key_of(intermediate, intermediate_file, intermediate_key_file)
    )


def ensure_server_certificate(
    directory: Path,
    authority: Authority,
    dns_names: Sequence[str],
    ip_addresses: Sequence[str],
    *,
    now: datetime,
) -> ServerFiles:
    """Have a certificate for these names in *directory*, which has to exist; idempotent.

    The one that is there is kept if it is of *authority*, for exactly these names, valid, and has
    at least a third of its life before it; otherwise a new one takes its place in one step.
    BadFiles if a file cannot be trusted, BadName for a name no certificate can carry.
    """
    files = ServerFiles(directory / SERVER, directory / SERVER_KEY)
    if not files.key_file.exists():
        # In this order, or a crash in between would leave a certificate with a foreign key.
        files.certificate_file.unlink(missing_ok=True)
        _sync(directory)
        _put(files.key_file, private_key_pem(new_private_key()), _KEY_MODE)
    key = _read_key(files.key_file)
    names = frozenset(alternative_names(dns_names, ip_addresses))
    if files.certificate_file.exists():
        chain = _certificates(files.certificate_file)
        if chain[0].public_key() != key.public_key():
            raise KeyMismatch(files.key_file, files.certificate_file)
        if _is_good(chain, authority, names, now):
            return files
    issued = authority.issue_server(
        key.public_key(),
        dns_names,
        ip_addresses,
        now=now,
        serial=x509.random_serial_number(),
    )
    _put(files.certificate_file, issued.chain_pem, _PUBLIC_MODE)
    return files


def _create(directory: Path, now: datetime) -> None:
    """Put a whole authority at *directory* in one step, unless another process does so first."""
    place = directory.resolve()  # a directory cannot be renamed over a symbolic link
    serials = iter(x509.random_serial_number, 0)
    authority, root_key = Authority.create(now=now, serials=serials)
    with tempfile.TemporaryDirectory(
        prefix=f".{place.name}.new-", dir=place.parent, ignore_cleanup_errors=True
    ) as made:  # with mode 0700
        new = Path(made)
        _write(new / ROOT, authority.root_pem, _PUBLIC_MODE)
        _write(new / ROOT_KEY, private_key_pem(root_key), _KEY_MODE)
        _write(new / INTERMEDIATE, authority.intermediate_pem, _PUBLIC_MODE)
        _write(new / INTERMEDIATE_KEY, private_key_pem(authority.intermediate_key), _KEY_MODE)
        _sync(new)
        try:
            new.rename(place)
        except OSError as error:
            if error.errno not in _SOMEBODY_WAS_FASTER:
                raise
    _sync(place.parent)


def _is_good(
    chain: Sequence[x509.Certificate],
    authority: Authority,
    names: frozenset[x509.GeneralName],
    now: datetime,
) -> bool:
    leaf = chain[0]
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return (
        list(chain[1:]) == [authority.intermediate]
        and _has_signed(authority.intermediate, leaf)
        and _names_of(leaf) == names
        and begin <= now <= end - (end - begin) / 3
    )


def _names_of(certificate: x509.Certificate) -> frozenset[x509.GeneralName]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    return frozenset(extension.value)


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _names_in(directory: Path) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return frozenset()


def _key_of(
    certificate: x509.Certificate, certificate_file: Path, key_file: Path
) -> ec.EllipticCurvePrivateKey:
    key = _read_key(key_file)
    if key.public_key() != certificate.public_key():
        raise KeyMismatch(key_file, certificate_file)
    return key


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    with path.open(encoding="ascii", errors="replace") as file:
        # Of the opened file: by its name it could be another one a moment later.
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise UnsafePermissions(path, mode)
        pem = file.read()
    try:
        return read_private_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnreadableFile(path, "not an unencrypted ECDSA private key in PEM") from error


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as error:
        raise UnreadableFile(path, "no certificate in PEM") from error


def _only_certificate(path: Path) -> x509.Certificate:
    certificates = _certificates(path)
    if len(certificates) != 1:
        raise UnreadableFile(path, "more than one certificate")
    return certificates[0]


def _put(path: Path, text: str, mode: int) -> None:
    """Write *text* and only then give it its name, durably."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)  # of a crash
    _write(temporary, text, mode)
    temporary.replace(path)
    _sync(path.parent)


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file that was not there; `_sync` of its directory makes its name durable too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
