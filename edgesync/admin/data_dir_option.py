"""The option --data-dir of commands that run beside a server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

C = TypeVar("C", bound=Callable[..., Any])


def data_dir_option(what: str = "Directory of the server.") -> Callable[[C], C]:
    """Give a command the option `--data-dir`; *what* describes its content."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("data"),
        envvar="EDGESYNC_DATA_DIR",
        show_default=True,
        help=what,
    )
