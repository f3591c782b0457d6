"""`edgesync broker`: complete configurations for the brokers that nodes connect to."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker.configuration import BrokerSettings, emqx_files, mosquitto_files
from broker.errors import MalformedCredentials
from broker.nats_credentials import NatsCredentials
from broker.nats_files import NatsCluster, NatsNode, nats_files
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

_NATS = "nats"
_CREDENTIALS = "credentials.json"


@click.group()
def broker() -> None:
    """Configure a standalone MQTT broker that several servers share."""


@broker.command()
@click.argument("kind", type=click.Choice(sorted((*_RENDER, _NATS))))
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
@click.option(
    "--peer",
    "peers",
    multiple=True,
    help="Host name or address of a server of the cluster, for NATS. Repeat it for each.",
)
@click.option("--node-address", default="0.0.0.0", show_default=True)  # noqa: S104
@click.option("--node-port", default=8883, show_default=True, help="Where nodes connect.")
@click.option("--server-address", default="127.0.0.1", show_default=True)
@click.option("--server-port", default=8884, show_default=True, help="Where servers connect.")
@click.option(
    "--route-port", default=6222, show_default=True, help="Where servers of NATS connect."
)
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
    peers: tuple[str, ...],
    route_port: int,
    data_dir: Path,
    passphrase_file: Path | None,
    **settings: str | int,
) -> None:
    """Write the broker's configuration, access rules and certificates.

    Overwrites existing files, except the CRL and the credentials for NATS, which needs a folder
    for each --peer.
    """
    now = datetime.now(UTC)
    os.umask(0o077)
    out.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    described = BrokerSettings(directory=out, **settings)  # type: ignore[arg-type]
    if bool(peers) != (kind == _NATS):
        raise click.UsageError("--peer: is for nats, which needs it")
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        passphrase = passphrase_of(passphrase_file, os.environ)
        authority = load_or_create_authority(data_dir / "ca", now=now, passphrase=passphrase)
        if kind == _NATS:
            _write_nats(described, authority, names, peers, route_port, now)
            return
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


def _write_nats(
    described: BrokerSettings,
    authority: Authority,
    names: Sequence[str],
    peers: Sequence[str],
    route_port: int,
    now: datetime,
) -> None:
    """Write a folder for each of *peers*, by its number, and the credentials of servers."""
    out = Path(described.directory)
    nodes = [
        NatsNode(
            host=peer,
            node_port=described.node_port,
            server_port=described.server_port,
            route_port=route_port,
        )
        for peer in peers
    ]
    cluster = NatsCluster(
        directory=out,
        nodes=nodes,
        credentials=_credentials(out / _CREDENTIALS),
        node_address=described.node_address,
        server_address=described.server_address,
        max_connections=described.max_connections,
    )
    certificates = _certificates(authority, (*names, *peers), now, is_peer=True)
    del certificates["crl.pem"]
    for number, peer in enumerate(peers, start=1):
        own = out / str(number)
        own.mkdir(exist_ok=True)
        described_here = replace(cluster, directory=own)
        if peer.startswith("127."):  # one of several on this machine
            described_here = replace(described_here, node_address=peer, server_address=peer)
        texts = nats_files(described_here, number)
        for name, content in {**certificates, **_encoded(texts)}.items():
            write_file(own / name, content)
    servers = ",".join(f"nats://{_host(peer)}:{described.server_port}" for peer in peers)
    click.echo(
        f"Wrote a folder for each of {', '.join(peers)} to {out}: move each to the same path of its"
        f" machine, and run nats-server -c {out}/NUMBER/nats.conf there. Start each server with"
        f" --broker {servers} --broker-for-nodes mqtts://HOST:{described.node_port}"
        f" --broker-credentials-file {out / _CREDENTIALS}."
    )


def _credentials(file: Path) -> NatsCredentials:
    """Those in *file*, made where there are none."""
    if not file.exists():
        write_file(file, NatsCredentials.new().as_json().encode())
    try:
        return NatsCredentials.from_json(file.read_bytes())
    except MalformedCredentials as error:
        raise click.ClickException(f"{file}: {error}") from error


def _host(peer: str) -> str:
    return f"[{peer}]" if ":" in peer else peer


def _encoded(texts: Mapping[str, str]) -> Mapping[str, bytes]:
    return {name: text.encode() for name, text in texts.items()}


def _certificates(
    authority: Authority, names: Sequence[str], now: datetime, *, is_peer: bool = False
) -> dict[str, bytes]:
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
        is_peer=is_peer,
    )
    # The first CRL is empty; a server replaces it.
    lists = authority.revocation_lists([], number=0, issued=now, now=now)
    return {
        "ca.pem": authority.trusted_pem.encode(),
        "server.pem": issued.chain_pem.encode(),
        "server.key": key_pem(key),
        "crl.pem": b"".join(one.public_bytes(Encoding.PEM) for one in lists),
    }
