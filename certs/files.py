"""An authority on disk: written completely or not at all, with keys readable by the owner only.

The directory holds `root.pem root.key intermediate.pem intermediate.key server.pem server.key`;
`server.pem` is the server's certificate followed by the intermediate. `root.key` may be away.
`retired/` has the intermediates of before, each as `SERIAL.pem` and `SERIAL.key`.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certs.authority import Authority, IssuedCertificate, Signer
from certs.changes import settle
from certs.encryption import sealed_key_pem
from certs.errors import BadAuthority
from certs.keys import SigningKey, key_pem, new_private_key
from certs.pem_files import read_certificate, read_key, sync_directory, write_file


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Where the server's certificate, with its chain, and its key are."""

    certificate_file: Path
    key_file: Path


RETIRED = "retired"


def load_or_create_authority(
    directory: Path, *, now: datetime, passphrase: bytes | None = None
) -> Authority:
    """The authority kept in *directory*; a new one is made where there is no directory.

    UnsafePermissions if others can read a key, BadPassphrase if keys are not encrypted with
    *passphrase* (None: not at all), BadAuthority if files are missing or do not match.
    """
    if not directory.exists():
        return _create(directory, now, passphrase)
    return load_authority(directory, passphrase=passphrase)


def load_authority(directory: Path, *, passphrase: bytes | None = None) -> Authority:
    """As `load_or_create_authority` for one that is there; BadAuthority if it is not."""
    return load_with_root_key(directory, passphrase)[0]


def load_with_root_key(
    directory: Path, passphrase: bytes | None
) -> tuple[Authority, SigningKey | None]:
    """As `load_authority`, with the root's key; None if it is away."""
    settle(directory)
    root = read_certificate(directory / "root.pem")
    intermediate = read_certificate(directory / "intermediate.pem")
    root_key = None
    if (directory / "root.key").exists():
        root_key = read_key(directory / "root.key", root, passphrase)
    key = read_key(directory / "intermediate.key", intermediate, passphrase)
    try:
        intermediate.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise BadAuthority(directory, "root.pem has not signed intermediate.pem") from error
    retired = []
    for file in sorted((directory / RETIRED).glob("*.pem")):
        certificate = read_certificate(file)
        own = read_key(file.with_suffix(".key"), certificate, passphrase)
        retired.append(Signer(certificate, own))
    return Authority(root, intermediate, key, tuple(retired)), root_key


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
        write_file(files.key_file, key_pem(key))
        write_file(files.certificate_file, issued.chain_pem.encode())
    return files


def new_broker_certificate(
    directory: Path, authority: Authority, name: str, *, now: datetime
) -> ServerCertificate:
    """A new key and certificate with which a server comes to a broker as *name*.

    The authority's signature is what the broker looks at, so nothing is lost with the old ones.
    """
    files = ServerCertificate(directory / "broker.pem", directory / "broker.key")
    key = new_private_key()
    issued = authority.issue_broker_client(
        key.public_key(), name, now=now, serial=x509.random_serial_number()
    )
    write_file(files.key_file, key_pem(key))
    write_file(files.certificate_file, issued.chain_pem.encode())
    return files


def _create(directory: Path, now: datetime, passphrase: bytes | None) -> Authority:
    """Make all files under another name, then give them theirs in one step."""
    partial = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    serials = (x509.random_serial_number(), x509.random_serial_number())
    authority, root_key = Authority.create(f"{serials[0]:x}"[:8], now=now, serials=serials)
    signed = IssuedCertificate(authority.intermediate, authority.root)
    write_file(partial / "root.pem", authority.root_pem.encode())
    write_file(partial / "root.key", sealed_key_pem(root_key, passphrase))
    write_file(partial / "intermediate.pem", signed.certificate_pem.encode())
    write_file(partial / "intermediate.key", sealed_key_pem(authority.key, passphrase))
    sync_directory(partial)
    partial.rename(directory)
    sync_directory(directory.parent)
    return authority


def _will_do(
    files: ServerCertificate, authority: Authority, names: set[str], now: datetime
) -> bool:
    if not (files.certificate_file.exists() and files.key_file.exists()):
        return False
    try:
        certificate = read_certificate(files.certificate_file)
        read_key(files.key_file, certificate)
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
