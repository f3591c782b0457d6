"""`edgesync ca`: the certificate authority in a data directory."""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from certs.errors import CertError
from certs.files import RETIRED
from certs.keys import ENCRYPTED
from certs.pem_files import read_certificate
from certs.succession import drop, encrypt, import_intermediate, request_intermediate, rotate
from certs.tls import client_context
from cloud.core.audit import Action
from cloud.core.times import time_text
from edgesync.admin.ca_passphrase import PASSPHRASE, passphrase_of
from edgesync.admin.command_entry import record_command
from edgesync.admin.data_dir_option import data_dir_option
from edgesync.cli.output import show_table
from edgesync.client.client import TIMEOUT_SECONDS

_F = TypeVar("_F", bound=Callable[..., None])
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """One certificate of the CA, as it is printed.

    *key* is `plain`, `encrypted` or `away`; *sha256* the fingerprint of the certificate.
    """

    role: str
    subject: str
    serial: str
    not_after: str
    days_left: int
    key: str
    sha256: str


@click.group()
def ca() -> None:
    """Inspect, rotate or replace the certificate authority.

    Changes take effect when the server is restarted.
    """


def _passphrase_option(command: _F) -> _F:
    return click.option(
        "--ca-passphrase-file",
        "passphrase_file",
        type=_FILE,
        envvar="EDGESYNC_CA_PASSPHRASE_FILE",
        help=f"File with the passphrase of the keys.  [default: {PASSPHRASE}]",
    )(command)


@ca.command()
@data_dir_option()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(data_dir: Path, *, as_json: bool) -> None:
    """Show each certificate: subject, expiry, and how its key is stored."""
    with _refusals():
        rows = [asdict(one) for one in certificates_of(data_dir / "ca", _now())]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    titles = [name.upper().replace("_", " ") for name in rows[0]]
    show_table(titles, [list(row.values()) for row in rows])


@ca.command("rotate")
@data_dir_option()
@_passphrase_option
@click.option(
    "--root-key",
    type=_FILE,
    help="The root's key, where it is not kept in the data directory.",
)
def rotate_command(data_dir: Path, passphrase_file: Path | None, root_key: Path | None) -> None:
    """Create a new intermediate; certificates of the old one stay valid until they expire."""
    with _refusals():
        authority = rotate(
            data_dir / "ca",
            now=_now(),
            serial=x509.random_serial_number(),
            passphrase=passphrase_of(passphrase_file, os.environ),
            root_key=root_key,
        )
    record_command(data_dir, Action.AUTHORITY_ROTATE, _serial(authority.intermediate))
    _tell(authority.intermediate)


@ca.command()
@data_dir_option()
@_passphrase_option
def request(data_dir: Path, passphrase_file: Path | None) -> None:
    """Create a key for a new intermediate, and print a signing request for the root CA.

    Import the signed certificate with `edgesync ca import`.
    """
    with _refusals():
        made = request_intermediate(
            data_dir / "ca",
            serial=x509.random_serial_number(),
            passphrase=passphrase_of(passphrase_file, os.environ),
        )
    click.echo(made.public_bytes(Encoding.PEM).decode(), nl=False)


@ca.command("import")
@data_dir_option()
@_passphrase_option
@click.option("--certificate", type=_FILE, required=True, help="The intermediate, PEM.")
@click.option("--key", type=_FILE, help="Its key, PEM.  [default: the one last requested]")
@click.option("--root", type=_FILE, help="Its issuer, PEM; required if there is no CA yet.")
def import_command(
    data_dir: Path,
    passphrase_file: Path | None,
    certificate: Path,
    key: Path | None,
    root: Path | None,
) -> None:
    """Import your own intermediate, as the first one or in place of the current one."""
    with _refusals():
        authority = import_intermediate(
            data_dir / "ca",
            certificate,
            now=_now(),
            key_file=key,
            root_file=root,
            passphrase=passphrase_of(passphrase_file, os.environ),
        )
    record_command(data_dir, Action.AUTHORITY_IMPORT, _serial(authority.intermediate))
    _tell(authority.intermediate)


@ca.command("drop")
@data_dir_option()
@click.argument("serial")
def drop_command(data_dir: Path, serial: str) -> None:
    """Stop trusting a retired intermediate and every certificate it signed."""
    try:
        number = int(serial, 16)
    except ValueError as error:
        raise click.UsageError(f"{serial!r} is no serial number as `show` prints it") from error
    with _refusals():
        drop(data_dir / "ca", number)
    record_command(data_dir, Action.AUTHORITY_DROP, f"{number:x}")
    click.echo(f"{serial} is no longer trusted. Restart the server.")


@ca.command("encrypt")
@data_dir_option()
@_passphrase_option
@click.option("--new-passphrase-file", type=_FILE, help="File with the new passphrase.")
@click.option("--plain", is_flag=True, help="Store the keys unencrypted.")
def encrypt_command(
    data_dir: Path, passphrase_file: Path | None, new_passphrase_file: Path | None, *, plain: bool
) -> None:
    """Encrypt the CA's keys with a new passphrase, or store them unencrypted."""
    if plain == (new_passphrase_file is not None):
        raise click.UsageError("give either --new-passphrase-file or --plain")
    with _refusals():
        count = encrypt(
            data_dir / "ca",
            old=passphrase_of(passphrase_file, os.environ),
            new=passphrase_of(new_passphrase_file, {}),
        )
    record_command(data_dir, Action.AUTHORITY_ENCRYPT)
    click.echo(f"{count} keys are {'plain' if plain else 'under the new passphrase'}.")


@ca.command()
@data_dir_option()
@click.argument("what", type=click.Choice(["root", "trusted", "crl"]))
@click.option(
    "--activation-url",
    default="https://localhost:9003",
    show_default=True,
    help="Activation URL of the running server, which issues the CRL.",
)
def export(data_dir: Path, what: str, activation_url: str) -> None:
    """Print PEM: the root, the trust bundle for brokers (trusted), or the CRL (crl)."""
    directory = data_dir / "ca"
    files = [directory / "root.pem"]
    if what == "crl":
        with _refusals():
            root = read_certificate(files[0]).public_bytes(Encoding.PEM).decode()
        click.echo(_list_from(activation_url, root), nl=False)
        return
    if what == "trusted":
        files += [directory / "intermediate.pem", *sorted((directory / RETIRED).glob("*.pem"))]
    with _refusals():
        for file in files:
            pem = read_certificate(file).public_bytes(Encoding.PEM)
            click.echo(pem.decode(), nl=False)


def certificates_of(directory: Path, now: datetime) -> Iterator[CertificateSummary]:
    """Every certificate of the authority in *directory*, without opening a key."""
    names = ["root", "intermediate", "server"]
    for name in names:
        file = directory / f"{name}.pem"
        if file.exists() or name != "server":  # made at the first start
            yield _shown(name, file, now)
    for file in sorted((directory / RETIRED).glob("*.pem")):
        yield _shown("retired", file, now)


def _list_from(url: str, root_pem: str) -> str:
    import httpx  # which the server, that takes passphrases from here, does without

    try:
        with httpx.Client(verify=client_context(root_pem), timeout=TIMEOUT_SECONDS) as client:
            answer = client.get(f"{url.rstrip('/')}/crl.pem").raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"{url}: {error}") from error
    return answer.text


def _shown(role: str, file: Path, now: datetime) -> CertificateSummary:
    certificate = read_certificate(file)
    ends = certificate.not_valid_after_utc
    key = file.with_suffix(".key")
    kept = "away"
    if key.exists():
        kept = "encrypted" if ENCRYPTED in key.read_bytes() else "plain"
    return CertificateSummary(
        role,
        certificate.subject.rfc4514_string(),
        _serial(certificate),
        time_text(ends),
        math.floor((ends - now) / timedelta(days=1)),
        kept,
        certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _serial(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"


def _tell(intermediate: x509.Certificate) -> None:
    ends = time_text(intermediate.not_valid_after_utc)
    click.echo(
        f"{intermediate.subject.rfc4514_string()} signs from the next start of the server on,"
        f" until {ends}."
    )


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (CertError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _now() -> datetime:
    return datetime.now(UTC)
