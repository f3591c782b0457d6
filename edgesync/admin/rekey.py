"""`edgesync rekey`: a new key for what is encrypted in the database."""

from pathlib import Path

import click

from cloud.core.audit import Action
from cloud.errors import Unavailable
from cloud.store.rekeying import rekey as seal_anew
from edgesync.admin.command_entry import command_entry
from edgesync.admin.data_dir_option import data_dir_option
from edgesync.admin.database_option import chosen_database, database_option


@click.command()
@data_dir_option("Directory of a server; stop it and all others on its database first.")
@database_option
def rekey(data_dir: Path, database: str) -> None:
    """Re-encrypt the database's encrypted fields with a new key."""
    try:
        count = seal_anew(
            chosen_database(data_dir, database),
            data_dir / "secrets.key",
            entry=command_entry(Action.SERVER_REKEY),
        )
    except Unavailable as error:
        raise click.ClickException(error.reason) from error
    click.echo(f"{count} documents are encrypted with the new key; back it up.")
