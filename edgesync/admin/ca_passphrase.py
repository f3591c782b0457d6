"""The passphrase of the authority's keys, as commands read it."""

from collections.abc import Mapping
from pathlib import Path

import click

from edgesync.admin.secret_file import read_secret_file

PASSPHRASE = "EDGESYNC_CA_PASSPHRASE"  # noqa: S105  # the name of a variable


def passphrase_of(file: Path | None, environ: Mapping[str, str]) -> bytes | None:
    """The passphrase of the authority's keys, from *file* or the environment; None: there is none.

    UsageError if both are given, if the passphrase is empty, or if others can use *file*.
    """
    text = environ.get(PASSPHRASE)
    if file is not None and text is not None:
        raise click.UsageError(f"the passphrase is in {file} and in {PASSPHRASE}; use one of them")
    if file is not None:
        text = read_secret_file("ca_passphrase_file", file)
    if text is None:
        return None
    passphrase = text.rstrip("\r\n").encode()
    if not passphrase:
        raise click.UsageError(f"{file or PASSPHRASE} holds no passphrase")
    return passphrase
