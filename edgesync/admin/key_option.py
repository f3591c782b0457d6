"""The option --config of commands that decrypt what a server has encrypted."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from cloud.config import BadSettings
from cloud.opening import key_encryption
from cloud.settings_sources import load_settings
from cloud.store.backup import SETTINGS_FILE
from cloud.store.key_encryption import KeyEncryption, is_encrypted
from cloud.store.lost_keys import SEALING_KEY

C = TypeVar("C", bound=Callable[..., Any])


def config_option(text: str, flag: str = "--config", **options: Any) -> Callable[[C], C]:
    """Give a command an option *flag* for a file with settings; *text* is its help."""
    file = click.Path(path_type=Path, exists=True, dir_okay=False)
    return click.option(flag, type=file, help=text, **options)


def chosen_encryption(config: Path | None, data_dir: Path) -> KeyEncryption | None:
    """What encrypts the key of a server, by its environment and the settings in *config*.

    Without *config* the settings are those with which the server of *data_dir* was started last.
    UsageError if they cannot be used, Unavailable if the key that they name cannot be read.
    """
    if config is None and (data_dir / SETTINGS_FILE).exists():
        config = data_dir / SETTINGS_FILE
    return encryption_of(config, os.environ)


def used_encryption(config: Path | None, data_dir: Path) -> KeyEncryption | None:
    """As `chosen_encryption`; None where secrets.key in *data_dir* is plain."""
    key = data_dir / SEALING_KEY
    if key.exists() and not is_encrypted(key.read_bytes()):
        return None
    return chosen_encryption(config, data_dir)


def encryption_of(config: Path | None, environ: Mapping[str, str]) -> KeyEncryption | None:
    """What encrypts a key by the settings in *config* and *environ* alone; errors as above."""
    try:
        return key_encryption(load_settings({}, environ, config), os.environ)
    except BadSettings as error:
        raise click.UsageError(str(error)) from error
