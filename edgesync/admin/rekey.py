"""`edgesync rekey`: a new key for what is encrypted in the database, or for that key itself."""

from pathlib import Path

import click

from cloud.core.audit import Action
from cloud.errors import Unavailable
from cloud.store.command_log import append_entry
from cloud.store.key_encryption import KeyEncryption
from cloud.store.lost_keys import SEALING_KEY
from cloud.store.rekeying import encrypt_key
from cloud.store.rekeying import rekey as seal_anew
from cloud.store.upkeep import Database
from edgesync.admin.command_entry import command_entry
from edgesync.admin.data_dir_option import data_dir_option
from edgesync.admin.database_option import chosen_database, database_option
from edgesync.admin.key_option import (
    chosen_encryption,
    config_option,
    encryption_of,
    used_encryption,
)

_KEY_ONLY = "key-only"
"""Name in the audit entry of a change that leaves the database as it is."""


@click.command()
@data_dir_option("Directory of a server; stop it and all others on its database first.")
@database_option
@config_option(
    "Settings of the server, which name what encrypts secrets.key.  [default: those of its last"
    " start]",
    envvar="EDGESYNC_CONFIG",
)
@config_option(
    "Settings that name what will encrypt secrets.key instead.  [default: --config]", "--new-config"
)
@click.option(
    "--key-only",
    is_flag=True,
    help="Encrypt secrets.key anew, and leave the database as it is; servers may run.",
)
def rekey(
    *, data_dir: Path, database: str, config: Path | None, new_config: Path | None, key_only: bool
) -> None:
    """Re-encrypt the database's encrypted fields with a new key."""
    kept, key = chosen_database(data_dir, database), data_dir / SEALING_KEY
    try:
        encryption = used_encryption(config, data_dir)
        if new_config is None:
            new = chosen_encryption(config, data_dir)
        else:
            new = encryption_of(new_config, {})
        if key_only:
            _encrypt_key(kept, key, encryption, new)
            return
        count = seal_anew(
            kept,
            key,
            encryption=encryption,
            new_encryption=new,
            entry=command_entry(Action.SERVER_REKEY),
        )
    except Unavailable as error:
        raise click.ClickException(error.reason) from error
    click.echo(f"{count} documents are encrypted with the new key; back it up.")


def _encrypt_key(
    database: Database, key: Path, encryption: KeyEncryption | None, new: KeyEncryption | None
) -> None:
    encrypt_key(database, key, encryption=encryption, new_encryption=new)
    click.echo(f"{key} is encrypted anew; back it up." if new else f"{key} is not encrypted.")
    try:
        append_entry(database, key.parent, command_entry(Action.SERVER_REKEY, _KEY_ONLY))
    except Unavailable as error:
        click.echo(f"Warning: this is not in the audit log: {error.reason}", err=True)
