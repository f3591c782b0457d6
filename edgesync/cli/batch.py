"""`edgesync batch`: bring in devices."""

from collections.abc import Sequence
from typing import IO

import click

from cloud.core.kinds import BATCH
from edgesync.cli.hints import message_of
from edgesync.cli.options import asks_server, reason_option
from edgesync.cli.output import note, show_change
from edgesync.client.client import Client
from edgesync.client.errors import ApiError

_ON, _OFF = "on", "off"


@click.group()
def batch() -> None:
    """Bring in devices: records, whitelist and installation command of a batch."""


@batch.command()
@asks_server
@click.argument("batch")
@click.argument("fingerprints", nargs=-1)
@click.option(
    "-f",
    "--filename",
    "file",
    type=click.File(encoding="utf-8"),
    help="Fingerprints, one a line; - is standard input.",
)
@reason_option
def add(server: Client, *, batch: str, fingerprints: Sequence[str], file: IO[str] | None) -> None:
    """Add records: devices with these fingerprints may activate.

    Continues after an error, and exits with 1.
    """
    lines = [line.strip() for line in file] if file else []
    wanted = [*fingerprints, *(line for line in lines if line and not line.startswith("#"))]
    if not wanted:
        raise click.UsageError("name the fingerprints, or a file of them with -f")
    failed = 0
    for fingerprint in wanted:
        try:
            path = f"{BATCH.url(batch)}/record"
            record = server.call("POST", path, body={"fingerprintValue": fingerprint})
        except ApiError as refusal:
            failed += 1
            note(f"{fingerprint}: {message_of(refusal)}")
        else:
            show_change("created", f"record/{batch}/{record['name']}")
    if failed:
        raise click.ClickException(f"{failed} of {len(wanted)} records were not added")


@batch.command()
@asks_server
@click.argument("batch")
@click.argument("state", type=click.Choice([_ON, _OFF]))
@reason_option
def whitelist(server: Client, *, batch: str, state: str) -> None:
    """Turn the whitelist of a batch on (only devices with a record activate) or off."""
    body = {"enableWhitelist": int(state == _ON)}
    after = server.call("PATCH", BATCH.url(batch), body=body)
    show_change("changed", f"batch/{batch}", f"the whitelist is {state}")
    if after.get("warning"):
        note(f"Warning: {after['warning']}")


@batch.command()
@asks_server
@click.argument("batch")
@reason_option
def download(server: Client, *, batch: str) -> None:
    """Print the fingerprints of all records of a batch, one a line."""
    click.echo(server.text(f"{BATCH.url(batch)}/download"), nl=False)


@batch.command("install-command")
@asks_server
@click.argument("batch")
@reason_option
def install_command(server: Client, *, batch: str) -> None:
    """Print the command that installs an agent as a device of the batch; it works once."""
    click.echo(server.call("GET", f"{BATCH.url(batch)}/init")["cmd"])
