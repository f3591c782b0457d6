"""`edgesync broker`: complete configurations for the brokers that nodes connect to."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker.configuration import BrokerSettings, emqx_files, mosquitto_files
from certs.authority import Authority
from certs.errors import CertError
from certs.files import load_or_create_authority
from certs.keys import key_pem, new_private_key
from certs.pem_files import write_file
from cloud.core.names import is_address, is_host_name
from edgesync.admin.ca_passphrase import passphrase_of
from edgesync.admin.data_dir_option import data_dir_option

_RENDER: Mapping[str, Callable[[BrokerSettings], Mapping[str, str]]] = {
    "mosquitto": mosquitto_files,
    "emqx": emqx_files,
}


@click.group()
def broker() -> None:
    """Configure a standalone MQTT broker that several servers share."""


@broker.command()
@click.argument("kind", type=click.Choice(sorted(_RENDER)))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Directory to write to; the broker must see it under the same path.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    default=("localhost",),
    show_default=True,
    help="Host name or address of the broker, for its certificate. Can be repeated.",
)
@click.option("--node-address", default="0.0.0.0", show_default=True)  # noqa: S104
@click.option("--node-port", default=8883, show_default=True, help="Where nodes connect.")
@click.option("--server-address", default="127.0.0.1", show_default=True)
@click.option("--server-port", default=8884, show_default=True, help="Where servers connect.")
@click.option("--max-connections", default=10_000, show_default=True)
@click.option("--user", default="", help="User that Mosquitto switches to when started as root.")
@data_dir_option("Directory of a server: its authority signs the broker's certificate.")
@click.option(
    "--ca-passphrase-file",
    "passphrase_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="EDGESYNC_CA_PASSPHRASE_FILE",
    help="File with the passphrase of the authority's keys.",
)
def config(
    kind: str,
    out: Path,
    names: tuple[str, ...],
    data_dir: Path,
    passphrase_file: Path | None,
    **settings: str | int,
) -> None:
    """Write the broker's configuration, access rules and certificates.

    Overwrites existing files, except the CRL.
    """
    now = datetime.now(UTC)
    os.umask(0o077)
    out.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    described = BrokerSettings(directory=out, **settings)  # type: ignore[arg-type]
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        passphrase = passphrase_of(passphrase_file, os.environ)
        authority = load_or_create_authority(data_dir / "ca", now=now, passphrase=passphrase)
        files = {**_certificates(authority, names, now), **_encoded(_RENDER[kind](described))}
    except CertError as error:
        raise click.ClickException(str(error)) from error
    (out / "state").mkdir(exist_ok=True)
    if (out / "crl.pem").exists():
        files.pop("crl.pem")
    for name, content in files.items():
        write_file(out / name, content)
    click.echo(
        f"Wrote {', '.join(sorted(files))} to {out}. Give the directory to the user the broker runs"
        f" as, and start each server with --broker mqtts://HOST:{described.server_port}"
        f" --broker-for-nodes mqtts://HOST:{described.node_port} --crl-file {out / 'crl.pem'}."
    )


def _encoded(texts: Mapping[str, str]) -> Mapping[str, bytes]:
    return {name: text.encode() for name, text in texts.items()}


def _certificates(
    authority: Authority, names: tuple[str, ...], now: datetime
) -> Mapping[str, bytes]:
    key = new_private_key()
    for name in names:
        if not (is_address(name) or is_host_name(name)):
            raise click.UsageError(f"--name: {name!r} is neither a host name nor an address")
    addresses = [name for name in names if is_address(name)]
    issued = authority.issue_server(
        key.public_key(),
        [name for name in names if name not in addresses],
        addresses,
        now=now,
        serial=x509.random_serial_number(),
    )
    # The first CRL is empty; a server replaces it.
    lists = authority.revocation_lists([], number=0, issued=now, now=now)
    return {
        "ca.pem": authority.trusted_pem.encode(),
        "server.pem": issued.chain_pem.encode(),
        "server.key": key_pem(key),
        "crl.pem": b"".join(one.public_bytes(Encoding.PEM) for one in lists),
    }
