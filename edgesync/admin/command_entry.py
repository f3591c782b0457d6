"""Audit entries of commands that run beside a server."""

import getpass
import os
from pathlib import Path

import click

from cloud.core.audit import Action, Actor, ActorKind, Attempt, Entry, clean
from cloud.errors import Unavailable
from cloud.store.command_log import append_entry
from cloud.store.upkeep import Database
from cloud.wiring import now_utc
from edgesync.admin.database_option import VARIABLE, chosen_database


def command_entry(action: Action, name: str = "") -> Entry:
    """An entry for *action* by the user who runs this command."""
    return Entry(Attempt(Actor(ActorKind.COMMAND, clean(_user())), action, now_utc(), name=name))


def record_command(data_dir: Path, action: Action, name: str = "") -> None:
    """Record *action* on the files of *data_dir* in the audit log; warn if that fails."""
    try:
        append_entry(_database(data_dir), data_dir, command_entry(action, name))
    except Unavailable as error:
        click.echo(f"Warning: done, but not recorded in the audit log: {error.reason}", err=True)


def _database(data_dir: Path) -> Database:
    return chosen_database(data_dir, os.environ.get(VARIABLE, ""))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
