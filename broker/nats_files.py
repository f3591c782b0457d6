"""Configuration of a cluster of NATS servers: nodes use its MQTT, servers its own protocol.

Pure: settings in, texts of files out. `edgesync broker config nats` writes them
(docs/operations/several-servers.md). Who may connect, and use which topic, is not in these files:
servers answer each connection of a node by `broker.nats_admission`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from broker.configuration import MAX_PACKET_BYTES, SERVER_NAME
from broker.nats_credentials import NatsCredentials

ACCOUNT = "EDGESYNC"
"""Account of nodes and servers."""

SYSTEM_USER = f"{SERVER_NAME}-system"
"""User of servers where they end the connections of nodes."""

AUTHORIZATION_SECONDS = 5
"""Time for a server to answer an authorization request, and for a TLS handshake."""

_ROUTE_USER = f"{SERVER_NAME}-route"
_MOST_REPLICAS = 5  # of a stream in NATS


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsNode:
    """One node of the cluster: where others reach it, and what it listens on."""

    host: str
    node_port: int = 8883
    server_port: int = 8884
    route_port: int = 6222


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsCluster:
    """The differences between clusters."""

    directory: PurePath
    """Where the files of each node will lie, as it sees them."""
    nodes: Sequence[NatsNode]
    credentials: NatsCredentials
    node_address: str = "0.0.0.0"  # noqa: S104  # nodes come from everywhere
    server_address: str = "127.0.0.1"
    """What servers and the other nodes of the cluster connect to."""
    max_connections: int = 10_000
    """To each node of the cluster."""


def nats_files(cluster: NatsCluster, number: int) -> Mapping[str, str]:
    """Text of `nats.conf` of the node *number*, counted from 1."""
    node = cluster.nodes[number - 1]
    lines = [
        "# NATS 2 for edgesync. Written by `edgesync broker config nats`; write it anew instead of",
        "# changing it.",
        "",
        f"server_name: {SERVER_NAME}-{number}",
        f"max_payload: {MAX_PACKET_BYTES}",
        f"max_connections: {cluster.max_connections}",
        "max_subscriptions: 0",
        'write_deadline: "10s"',
        "",
        "# Servers. Keep this port away from nodes.",
        f"listen: {_place(cluster.server_address, node.server_port)}",
        *_tls(cluster.directory, "  handshake_first: true"),
        "",
        "# Nodes: each connection is a question to a server, with the client's certificate.",
        "mqtt {",
        f"  listen: {_place(cluster.node_address, node.node_port)}",
        *(f"  {line}" for line in _tls(cluster.directory)),
        "  max_ack_pending: 100",
        f"  stream_replicas: {_replicas(cluster)}",
        '  js_api_timeout: "10s"',
        "  consumer_memory_storage: true",
        "  reject_qos2_publish: true",
        "}",
        *_accounts(cluster.credentials),
        "",
        "# Sessions of nodes. Reports are not kept: nodes repeat what no server has answered.",
        "jetstream {",
        f'  store_dir: "{cluster.directory / "state"}"',
        "  max_memory_store: 512MB",
        "  max_file_store: 4GB",
        "}",
        *(_cluster(cluster, node) if len(cluster.nodes) > 1 else ()),
    ]
    return {"nats.conf": "\n".join(lines) + "\n"}


def _tls(directory: PurePath, *more: str) -> list[str]:
    return [
        "tls {",
        f'  cert_file: "{directory / "server.pem"}"',
        f'  key_file: "{directory / "server.key"}"',
        f'  ca_file: "{directory / "ca.pem"}"',
        "  verify: true",
        f"  timeout: {AUTHORIZATION_SECONDS}",
        *more,
        "}",
    ]


def _accounts(credentials: NatsCredentials) -> list[str]:
    return [
        "",
        "accounts {",
        f"  {ACCOUNT} {{",
        "    jetstream: enabled",
        _user(SERVER_NAME, credentials.password),
        "  }",
        "  SYS {",
        _user(SYSTEM_USER, credentials.system_password),
        "  }",
        "}",
        "system_account: SYS",
        "authorization {",
        f"  timeout: {AUTHORIZATION_SECONDS}",
        "  auth_callout {",
        f"    issuer: {credentials.issuer_name}",
        f"    account: {ACCOUNT}",
        f"    auth_users: [{SERVER_NAME}, {SYSTEM_USER}]",
        "  }",
        "}",
    ]


def _user(name: str, password: str) -> str:
    """A user of the port for servers, and of no other."""
    allowed = "allowed_connection_types: [STANDARD]"
    return f"    users: [{{user: {name}, password: {password!r}, {allowed}}}]"


def _cluster(cluster: NatsCluster, own: NatsNode) -> list[str]:
    password = cluster.credentials.route_password
    routes = [
        f'    "tls://{_ROUTE_USER}:{password}@{_place(node.host, node.route_port)}"'
        for node in cluster.nodes
        if node is not own
    ]
    return [
        "",
        "# The other nodes of the cluster. Keep this port away from everything else.",
        "cluster {",
        f"  name: {SERVER_NAME}",
        f"  listen: {_place(cluster.server_address, own.route_port)}",
        "  no_advertise: true",
        *(f"  {line}" for line in _tls(cluster.directory)),
        f"  authorization {{user: {_ROUTE_USER}, password: {password!r}}}",
        "  routes: [",
        *routes,
        "  ]",
        "}",
    ]


def _replicas(cluster: NatsCluster) -> int:
    """An odd number: one node more survives no failure more."""
    count = min(len(cluster.nodes), _MOST_REPLICAS)
    return count if count % 2 else count - 1


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
