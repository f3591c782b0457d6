"""One intermediate follows another, while nodes hold certificates of both.

Every change is whole or not there (`changes`). A server that runs goes on with what it has read,
and reads the new state when it starts again.
"""

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from certs.acceptance import check_signer
from certs.authority import Authority, Signer, new_signer
from certs.changes import locked, replace_files
from certs.encryption import sealed_key_pem
from certs.errors import BadAuthority
from certs.files import RETIRED, load_authority, load_with_root_key
from certs.keys import new_private_key
from certs.pem_files import read_certificate, read_key, sync_directory, write_file
from certs.profiles import intermediate_name

REQUEST = "request"


def rotate(
    directory: Path,
    *,
    now: datetime,
    serial: int,
    passphrase: bytes | None = None,
    root_key: Path | None = None,
) -> Authority:
    """Have a new intermediate sign from now on; the one of before is trusted until it ends.

    The root's key is read from *root_key*, else from the directory; BadAuthority if it is away.
    """
    authority, key = load_with_root_key(directory, passphrase)
    if root_key is not None or key is None:
        key = read_key(root_key or directory / "root.key", authority.root, passphrase)
    signer = new_signer(authority.root, key, f"{serial:x}"[:8], now=now, serial=serial)
    return _succeed(directory, authority, signer, passphrase)


def request_intermediate(
    directory: Path, *, serial: int, passphrase: bytes | None = None
) -> x509.CertificateSigningRequest:
    """Ask the holder of the root's key for a new intermediate; its key waits in the directory.

    A request of before is given up.
    """
    load_authority(directory, passphrase=passphrase)
    key = new_private_key()
    place = directory / REQUEST
    with locked(directory):
        place.mkdir(mode=0o700, exist_ok=True)
        write_file(place / "intermediate.key", sealed_key_pem(key, passphrase))
        sync_directory(place)
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(intermediate_name(f"{serial:x}"[:8]))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.sign(key, hashes.SHA256())


def import_intermediate(
    directory: Path,
    certificate_file: Path,
    *,
    now: datetime,
    key_file: Path | None = None,
    root_file: Path | None = None,
    passphrase: bytes | None = None,
) -> Authority:
    """Have an operator's intermediate sign; its key is the one last asked for if none is given.

    A new directory gets *root_file* for its root, and no key of it. One that is there keeps its
    root, as that is all its nodes trust: BadAuthority for another, NotAnAuthority for an
    intermediate that cannot sign.
    """
    certificate = read_certificate(certificate_file)
    waiting = directory / REQUEST / "intermediate.key"
    signer = Signer(certificate, read_key(key_file or waiting, certificate, passphrase))
    if not directory.exists():
        if root_file is None:
            raise BadAuthority(directory, "is not there; give the root too, to make it")
        return _begin(directory, read_certificate(root_file), signer, passphrase, now=now)
    authority = load_authority(directory, passphrase=passphrase)
    if root_file is not None and read_certificate(root_file) != authority.root:
        raise BadAuthority(directory, "has another root, which is all that its nodes trust")
    check_signer(authority.root, signer, now=now)
    if certificate in (authority.intermediate, *(one.certificate for one in authority.retired)):
        raise BadAuthority(directory, "has this intermediate already")
    authority = _succeed(directory, authority, signer, passphrase)
    waiting.unlink(missing_ok=True)
    return authority


def drop(directory: Path, serial: int) -> None:
    """Trust the retired intermediate with that serial number no longer, nor what it signed."""
    with locked(directory):
        file = directory / RETIRED / f"{serial:x}.pem"
        if not file.exists():
            raise BadAuthority(file, "is no retired intermediate")
        # The certificate first: a key alone means nothing.
        file.unlink()
        sync_directory(file.parent)
        file.with_suffix(".key").unlink()


def encrypt(directory: Path, *, old: bytes | None, new: bytes | None) -> int:
    """Put every key of the authority under the passphrase *new* (None: plain); how many there are.

    The server's own key stays plain: it is worth 397 days, and web servers read it.
    """
    authority, root_key = load_with_root_key(directory, old)
    if (directory / REQUEST / "intermediate.key").exists():
        raise BadAuthority(directory, "a request waits for its certificate; import that first")
    keys = {"intermediate.key": authority.key}
    for signer in authority.retired:
        keys[_retired(signer, ".key")] = signer.key
    if root_key is not None:
        keys["root.key"] = root_key
    with locked(directory):
        replace_files(directory, {name: sealed_key_pem(key, new) for name, key in keys.items()})
    return len(keys)


def _begin(
    directory: Path,
    root: x509.Certificate,
    signer: Signer,
    passphrase: bytes | None,
    *,
    now: datetime,
) -> Authority:
    check_signer(root, signer, now=now)
    partial = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    write_file(partial / "root.pem", root.public_bytes(Encoding.PEM))
    for name, content in _files(signer, passphrase).items():
        write_file(partial / name, content)
    sync_directory(partial)
    partial.rename(directory)
    sync_directory(directory.parent)
    return Authority(root, signer.certificate, signer.key)


def _succeed(
    directory: Path, authority: Authority, signer: Signer, passphrase: bytes | None
) -> Authority:
    after = authority.succeeded_by(signer)
    own = after.retired[0]
    files = {
        _retired(own, ".key"): sealed_key_pem(own.key, passphrase),
        _retired(own, ".pem"): own.certificate.public_bytes(Encoding.PEM),
    }
    with locked(directory):
        if read_certificate(directory / "intermediate.pem") != authority.intermediate:
            raise BadAuthority(directory, "was changed by another program")
        replace_files(directory, {**files, **_files(signer, passphrase)})
    return after


def _files(signer: Signer, passphrase: bytes | None) -> Mapping[str, bytes]:
    return {
        "intermediate.pem": signer.certificate.public_bytes(Encoding.PEM),
        "intermediate.key": sealed_key_pem(signer.key, passphrase),
    }


def _retired(signer: Signer, suffix: str) -> str:
    return f"{RETIRED}/{signer.certificate.serial_number:x}{suffix}"
