"""`edgesync serve`: the server, with a flag for each setting."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click
import uvloop

from broker.errors import BrokerError
from certs.errors import CertError
from cloud.app import serve as run_server
from cloud.config import Settings
from cloud.core.deprecated_settings import DEPRECATED_SETTINGS
from cloud.errors import CloudError, Unavailable
from cloud.http.logs import LOG_FORMAT, BoundedFormatter, LogBudget, RequestIdFilter
from cloud.settings_sources import PATHS, load_settings
from edgesync import version
from edgesync.admin.ca_passphrase import passphrase_of
from edgesync.interpreter import tuned_interpreter

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

_REPEATED = {
    "server_names": "--server-name",
    "function_runtimes": "--function-runtime",
    "require_sealed_secrets": "--require-sealed-secrets",
    "trusted_proxies": "--trusted-proxy",
    "key_encryption_command": "--key-encryption-command",
    "key_decryption_command": "--key-decryption-command",
}
"""Flags of settings that are lists; given once for each entry."""


def _settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* one option for each setting, and a hidden one for each deprecated name."""
    named = {setting.name: setting for setting in fields(Settings)}
    for replaced in DEPRECATED_SETTINGS:
        command = _option(replaced.old, named[replaced.new], hidden=True)(command)
    for name, setting in reversed(named.items()):
        command = _option(name, setting)(command)
    return command


def _option(name: str, setting: Field[Any], *, hidden: bool = False) -> Decorator:
    flag = _REPEATED.get(name, "--" + name.replace("_", "-"))
    options: dict[str, Any] = {"help": _help_of(setting.metadata, setting.default)}
    if setting.name in PATHS:
        options["type"] = click.Path(path_type=Path)
    elif setting.name in _REPEATED:
        options["multiple"] = True
    elif isinstance(setting.default, bool):
        flag = f"{flag}/--no-{flag[2:]}"
    else:
        options["type"] = type(setting.default)
    return click.option(flag, name, default=None, hidden=hidden, **options)


def _help_of(metadata: Mapping[str, str], default: object) -> str:
    shown = default not in (None, (), False)
    return metadata["help"] + (f"  [default: {default}]" if shown else "")


def warn(text: str) -> None:
    """Print a warning to standard error; where logs are not set up yet."""
    click.echo(f"Warning: {text}", err=True)


@click.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="EDGESYNC_CONFIG",
    help="TOML file with settings; flags and EDGESYNC_ variables override it.",
)
@_settings_options
def serve(file: Path | None, **flags: Any) -> None:
    """Run the server: REST API, activation endpoint and MQTT hub in one process."""
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    try:
        settings = load_settings(given, os.environ, file, warn=warn)
    except CloudError as error:
        raise click.UsageError(str(error)) from error
    passphrase = passphrase_of(settings.ca_passphrase_file, os.environ)
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.addFilter(RequestIdFilter())
    to_stderr.addFilter(LogBudget(time.monotonic))
    to_stderr.setFormatter(BoundedFormatter(LOG_FORMAT))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[to_stderr])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its starts and stops are ours
    logging.getLogger("amqtt").setLevel(logging.WARNING)
    try:
        with (
            tuned_interpreter(),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(
                run_server(
                    settings,
                    version=version(),
                    announce=click.echo,
                    ca_passphrase=passphrase,
                )
            )
    except Unavailable as error:
        raise click.ClickException(error.reason) from error
    except (CloudError, BrokerError, CertError, OSError) as error:
        raise click.ClickException(str(error)) from error
