"""`edgesync admin-token`: the administrator's token, rotated, switched off and on."""

import hmac
from collections.abc import Callable
from pathlib import Path

import click

from cloud.core.admin_access import AdminAccess
from cloud.core.audit import Action
from cloud.core.installation import digest_of
from cloud.core.times import time_text
from cloud.errors import Invalid, Unavailable
from cloud.operations.admin_access import rotate_admin_token, switch_admin_token
from cloud.store.admin_token_file import ADMIN_TOKEN_FILE, read_admin_token, write_admin_token
from cloud.store.command_log import append_entry, read_with
from cloud.store.transaction import Transaction
from cloud.wiring import new_token, now_utc
from edgesync.admin.command_entry import command_entry
from edgesync.admin.data_dir_option import data_dir_option
from edgesync.admin.database_option import chosen_database, database_option


@click.group("admin-token")
def admin_token() -> None:
    """Rotate the administrator's token, or switch it off and on, also while servers run.

    It takes effect at once, on all servers of the database. It needs the data directory and no
    token.
    """


@admin_token.command()
@data_dir_option()
@database_option
def rotate(data_dir: Path, database: str) -> None:
    """Replace the token by a new one, in admin.token; the old one opens nothing any more.

    Copy the file to the data directories of other servers of the database.
    """
    token = new_token()
    file = data_dir / ADMIN_TOKEN_FILE
    _change(
        data_dir,
        database,
        Action.ADMIN_TOKEN_ROTATE,
        lambda tx: rotate_admin_token(tx, token, now=now_utc()),
    )
    try:
        write_admin_token(file, token)
    except OSError as error:
        raise click.ClickException(
            f"{file}: {error.strerror}; the old token is refused already: run it again"
        ) from error
    click.echo(f"The new token is in {file}")
    _warn_if_off(data_dir, database)


@admin_token.command()
@data_dir_option()
@database_option
def disable(data_dir: Path, database: str) -> None:
    """Switch the token off: it opens nothing until it is enabled again."""
    _change(
        data_dir,
        database,
        Action.ADMIN_TOKEN_DISABLE,
        lambda tx: switch_admin_token(tx, on=False, now=now_utc()),
    )
    click.echo("The administrator's token is switched off.")


@admin_token.command()
@data_dir_option()
@database_option
def enable(data_dir: Path, database: str) -> None:
    """Switch the token on again."""
    _change(
        data_dir,
        database,
        Action.ADMIN_TOKEN_ENABLE,
        lambda tx: switch_admin_token(tx, on=True, now=now_utc()),
    )
    click.echo("The administrator's token is switched on.")
    if trouble := _trouble(data_dir, _access(data_dir, database)):
        click.echo(f"Warning: {trouble}", err=True)


@admin_token.command()
@data_dir_option()
@database_option
def show(data_dir: Path, database: str) -> None:
    """Show whether the token is switched on and when it was changed; the token is not printed."""
    access = _access(data_dir, database)
    click.echo(f"state: {'on' if access.is_enabled else 'off'}")
    click.echo(f"changed: {time_text(access.changed) if access.changed else 'never'}")
    click.echo(f"file: {_trouble(data_dir, access) or data_dir / ADMIN_TOKEN_FILE}")


def _change(
    data_dir: Path, database: str, action: Action, work: Callable[[Transaction], object]
) -> None:
    """Do *work* with its entry in the audit log."""
    try:
        chosen = chosen_database(data_dir, database)
        if not append_entry(chosen, data_dir, command_entry(action), work):
            raise click.ClickException(f"there is no database of a server in {data_dir}")
    except Unavailable as error:
        raise click.ClickException(error.reason) from error


def _access(data_dir: Path, database: str) -> AdminAccess:
    try:
        chosen = chosen_database(data_dir, database)
        if missing := chosen.missing():
            raise click.ClickException(f"there is no {missing}")
        return read_with(chosen, data_dir, lambda tx: tx.admin_access())
    except Unavailable as error:
        raise click.ClickException(error.reason) from error


def _warn_if_off(data_dir: Path, database: str) -> None:
    if not _access(data_dir, database).is_enabled:
        click.echo("It is switched off; `edgesync admin-token enable` switches it on.", err=True)


def _trouble(data_dir: Path, access: AdminAccess) -> str:
    """Why the file has not the token that is accepted; empty if it has."""
    file = data_dir / ADMIN_TOKEN_FILE
    try:
        digest = digest_of(read_admin_token(file))
    except FileNotFoundError:
        return f"there is no {file}: `edgesync admin-token rotate` makes a new one"
    except OSError as error:
        return f"{file}: {error.strerror}"
    except Invalid as error:
        return f"{file}: {error.reason}"
    if access.digest and not hmac.compare_digest(digest, access.digest):
        return f"{file} has a token that was replaced elsewhere: copy it from there, or rotate"
    return ""
