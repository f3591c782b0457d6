"""`edgesync backup`, `verify` and `restore`: all of a server in one encrypted file."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from certs.errors import CertError
from certs.files import load_authority
from certs.keys import ENCRYPTED
from cloud.config import BadSettings
from cloud.core.audit import Action
from cloud.errors import Unavailable
from cloud.opening import database_of
from cloud.settings_sources import load_settings, settings_text
from cloud.store.archive import open_archive, write_archive
from cloud.store.archive_key import (
    Decrypt,
    Encrypt,
    identity_decryption,
    passphrase_decryption,
    passphrase_encryption,
    recipient_encryption,
)
from cloud.store.backup import SETTINGS_FILE, Restored, backup_parts, restore
from cloud.store.command_log import append_entry
from cloud.store.key_encryption import is_encrypted
from cloud.store.log_check import check_log
from cloud.store.rekeying import check_sealed
from cloud.store.sealing import Sealer, load_sealing_key
from cloud.store.upkeep import SqliteDatabase
from cloud.wiring import now_utc
from edgesync import version
from edgesync.admin.ca_passphrase import passphrase_of
from edgesync.admin.command_entry import command_entry
from edgesync.admin.data_dir_option import data_dir_option
from edgesync.admin.database_option import chosen_database, database_option
from edgesync.admin.key_option import config_option, encryption_of
from edgesync.admin.secret_file import read_secret_file

PASSPHRASE = "EDGESYNC_BACKUP_PASSPHRASE"  # noqa: S105  # the name of a variable
SHORTEST = 12
"""Characters of a passphrase, at least: who has the file has all the time to guess."""

C = TypeVar("C", bound=Callable[..., Any])


def _passphrase_option(command: C) -> C:
    return click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="EDGESYNC_BACKUP_PASSPHRASE_FILE",
        help=f"File with the passphrase of the backup.  [default: {PASSPHRASE}, else a prompt]",
    )(command)


def _opening_options(command: C) -> C:
    """What opens a backup."""
    option = click.option(
        "--identity-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="File of age-keygen with the private key of a recipient.",
    )
    return _passphrase_option(option(command))


_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command()
@_file
@data_dir_option()
@database_option
@_passphrase_option
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="PUBLIC_KEY",
    help="Public key of age-keygen to encrypt to, without a passphrase. Can be repeated.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def backup(
    *,
    file: Path,
    data_dir: Path,
    database: str,
    passphrase_file: Path | None,
    recipients: tuple[str, ...],
    force: bool,
) -> None:
    """Back up a running server to FILE: database, keys and settings.

    It holds every write acknowledged before the command began.
    """
    if file.exists() and not force:
        raise click.UsageError(f"{file} exists; choose another name, or pass --force")
    encrypt = _encryption(passphrase_file, recipients)
    kept = chosen_database(data_dir, database)
    now = now_utc()
    with _refusals():
        try:
            append_entry(kept, data_dir, command_entry(Action.SERVER_BACKUP, file.name))
        except Unavailable as error:
            click.echo(f"Warning: this is not in the audit log: {error.reason}", err=True)
        parts = backup_parts(kept, data_dir, version=version(), now=now)
        write_archive(file, parts, encrypt)
    click.echo(f"{file}: {file.stat().st_size} bytes. Verify it with `edgesync verify {file}`.")


@click.command("verify")
@_file
@_opening_options
@click.option(
    "--ca-passphrase-file",
    "ca_passphrase_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="EDGESYNC_CA_PASSPHRASE_FILE",
    help="File with the passphrase of the authority's keys, where they have one.",
)
@config_option(
    "Settings that name what encrypts secrets.key, where something does.",
    envvar="EDGESYNC_CONFIG",
)
def verify_backup(
    *,
    file: Path,
    passphrase_file: Path | None,
    identity_file: Path | None,
    ca_passphrase_file: Path | None,
    config: Path | None,
) -> None:
    """Verify the backup FILE by restoring it to a temporary directory.

    Checks that the file is complete, that the key decrypts what is encrypted, that the audit log is
    intact, and that the CA's keys match its certificates.
    """
    decrypt = _decryption(passphrase_file, identity_file)
    with _refusals(), tempfile.TemporaryDirectory(prefix="edgesync-verify-") as place:
        directory = Path(place)
        database = SqliteDatabase(directory / "edgesync.db")
        with open_archive(file, decrypt) as parts:
            restored = restore(parts, database, directory)
        decrypted = _checked_documents(database, directory / "secrets.key", config)
        verdict = check_log(database, directory)
        if verdict.broken:
            raise click.ClickException(
                f"the audit log in it is broken at entry {verdict.broken}: {verdict.reason}"
            )
        authority = _checked_authority(directory / "ca", ca_passphrase_file)
    click.echo(
        f"{file} is intact: made at {restored.begin.created} by version {restored.begin.version},"
        f" {restored.rows} rows, {verdict.checked} entries of the audit log verified. {decrypted}"
        f" {authority}"
    )


@click.command("restore")
@_file
@data_dir_option()
@database_option
@_opening_options
def restore_backup(
    *,
    file: Path,
    data_dir: Path,
    database: str,
    passphrase_file: Path | None,
    identity_file: Path | None,
) -> None:
    """Restore the backup FILE to a new data directory, and with --database to PostgreSQL.

    A backup of either database can be restored to the other. Stop the original server first: two
    servers must not manage the same nodes.
    """
    if data_dir.exists() and any(data_dir.iterdir()):
        raise click.UsageError(f"--data-dir: {data_dir} is not empty; restore into a new one")
    decrypt = _decryption(passphrase_file, identity_file)
    with _refusals():
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{data_dir.name}.", dir=data_dir.parent))
        try:
            restored = _restore(file, decrypt, partial, database)
            if data_dir.exists():
                data_dir.rmdir()
            partial.rename(data_dir)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    made = f"{data_dir} is as it was at {restored.begin.created}: {restored.rows} rows."
    if restored.migrations:
        made += f" Migrated from version {restored.begin.version} ({restored.migrations} steps)."
    click.echo(
        f"{made} Start it:\n"
        f"edgesync serve --data-dir {data_dir} --config {data_dir / SETTINGS_FILE}"
    )


def _restore(file: Path, decrypt: Decrypt, directory: Path, url: str) -> Restored:
    database = database_of(directory, url)
    with database.held(alone=True):
        with open_archive(file, decrypt) as parts:
            restored = restore(parts, database, directory)
        _settle_settings(directory / SETTINGS_FILE, url)
        entry = command_entry(Action.SERVER_RESTORE, restored.begin.created)
        append_entry(database, directory, entry)
    return restored


def _settle_settings(file: Path, url: str) -> None:
    """Have the settings name the database that was restored into."""
    try:
        settings = load_settings({}, {}, file) if file.exists() else load_settings({}, {}, None)
        text = settings_text(replace(settings, database=url))
    except BadSettings as error:
        click.echo(f"Warning: look through {file.name}: {error}", err=True)
        return
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)


def _checked_documents(database: SqliteDatabase, key: Path, config: Path | None) -> str:
    """A line about what is encrypted; Unavailable if the key in the file does not decrypt it.

    The settings in a backup are not used: they can name a command.
    """
    encryption = None
    if is_encrypted(key.read_bytes()):
        encryption = encryption_of(config, os.environ)
        if encryption is None:
            return "What is encrypted was not checked: secrets.key needs --config."
    sealer = Sealer(load_sealing_key(key, encryption))
    count = database.in_transaction(lambda run: check_sealed(run, sealer))
    return f"{count} encrypted documents decrypted."


def _checked_authority(directory: Path, passphrase_file: Path | None) -> str:
    """A line about the authority; CertError if it could not sign."""
    keys = sorted(directory.rglob("*.key"))
    if not any(ENCRYPTED in key.read_bytes() for key in keys):
        load_authority(directory)
        return "The CA's keys match."
    passphrase = passphrase_of(passphrase_file, os.environ)
    if passphrase is None:
        return "The CA's keys were not checked: they need --ca-passphrase-file."
    load_authority(directory, passphrase=passphrase)
    return "The CA's keys match."


def _encryption(passphrase_file: Path | None, recipients: tuple[str, ...]) -> Encrypt:
    if not recipients:
        return passphrase_encryption(_passphrase(passphrase_file, is_new=True))
    _refuse_passphrase(passphrase_file, "--recipient")
    try:
        return recipient_encryption(recipients)
    except ValueError as error:
        raise click.UsageError(f"--recipient: {error}") from error


def _decryption(passphrase_file: Path | None, identity_file: Path | None) -> Decrypt:
    if identity_file is None:
        return passphrase_decryption(_passphrase(passphrase_file))
    _refuse_passphrase(passphrase_file, "--identity-file")
    text = read_secret_file("--identity-file", identity_file)
    try:
        return identity_decryption(text)
    except ValueError as error:
        raise click.UsageError(f"--identity-file: {identity_file}: {error}") from error


def _refuse_passphrase(file: Path | None, option: str) -> None:
    if file is not None or PASSPHRASE in os.environ:
        raise click.UsageError(f"there is a passphrase beside {option}; use one of them")


def _passphrase(file: Path | None, *, is_new: bool = False) -> str:
    """The passphrase of the backup; a new one has to be long enough."""
    text = os.environ.get(PASSPHRASE)
    if file is not None and text is not None:
        raise click.UsageError(f"the passphrase is in {file} and in {PASSPHRASE}; use one of them")
    if file is not None:
        text = read_secret_file("--passphrase-file", file)
    if text is None and sys.stdin.isatty():
        text = click.prompt("Passphrase", hide_input=True, confirmation_prompt=is_new)
    if text is None:
        raise click.UsageError(f"name a file with --passphrase-file, or set {PASSPHRASE}")
    text = text.rstrip("\r\n")
    if is_new and len(text.strip()) < SHORTEST:
        raise click.UsageError(f"the passphrase has fewer than {SHORTEST} characters")
    return text


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn errors into a message of one line."""
    try:
        yield
    except Unavailable as error:
        raise click.ClickException(error.reason) from error
    except (CertError, OSError) as error:
        raise click.ClickException(str(error)) from error
