"""The option --database of commands that run beside a server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cloud.errors import CloudError
from cloud.opening import database_of
from cloud.store.upkeep import Database

C = TypeVar("C", bound=Callable[..., Any])

VARIABLE = "EDGESYNC_DATABASE"


def database_option(command: C) -> C:
    """Give *command* the option `--database`, with the variable that servers read it from, too."""
    return click.option(
        "--database",
        default="",
        envvar=VARIABLE,
        metavar="URL",
        help="PostgreSQL URL of the server.  [default: the SQLite file in --data-dir]",
    )(command)


def chosen_database(data_dir: Path, url: str) -> Database:
    """The database that the options name."""
    try:
        return database_of(data_dir, url)
    except CloudError as error:
        raise click.UsageError(str(error)) from error
