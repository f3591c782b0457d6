"""Files that hold a passphrase or a private key."""

from pathlib import Path

import click

from cloud.store.permissions import secret_file_trouble


def read_secret_file(option: str, file: Path) -> str:
    """The text of *file*; UsageError names *option* if it cannot be read or others can use it."""
    try:
        trouble = secret_file_trouble(file)
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{option}: {file}: {error}") from error
    if trouble:
        raise click.UsageError(f"{option}: {trouble}")
    return text
