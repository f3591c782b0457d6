"""Complete configurations for brokers that edgesync works with, made from the one access table.

Pure: settings in, texts of files out. `edgesync broker config` writes them
(docs/operations/several-servers.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from broker.limits import ClientLimits
from broker.topics import FROM_NODE, PREFIX, SHARE, TO_NODE, Channel

SERVER_NAME = "edgesync"
"""Common name of the certificates with which servers come to the broker; no node id, for want of a
dot."""

MAX_PACKET_BYTES = ClientLimits().max_packet_bytes

_ANY = "+"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The differences between brokers."""

    directory: PurePath
    """Where the files will lie, as the broker sees it."""
    node_address: str = "0.0.0.0"  # noqa: S104  # nodes come from everywhere
    node_port: int = 8883
    server_address: str = "127.0.0.1"
    server_port: int = 8884
    max_connections: int = 10_000
    revocation_list: bool = True
    """Whether there is a `crl.pem`: then the broker needs it."""
    certificate_file: PurePath | None = None
    key_file: PurePath | None = None
    crl_file: PurePath | None = None
    """Where these are if not in `directory`."""
    user: str = ""
    """Whom the broker runs as when started by root; "" leaves it to the broker."""


def mosquitto_files(settings: BrokerSettings) -> Mapping[str, str]:
    """Texts of `mosquitto.conf` and `acl` for Mosquitto 2."""
    return {"mosquitto.conf": _mosquitto_conf(settings), "acl": _mosquitto_acl()}


def managed_files(settings: BrokerSettings, server_socket: PurePath) -> Mapping[str, str]:
    """Texts of the files of a Mosquitto that a server runs, and reaches by *server_socket*."""
    return {
        "mosquitto.conf": _managed_conf(settings, server_socket),
        "nodes.acl": _nodes_acl(),
        "server.acl": _server_acl(),
    }


def emqx_files(settings: BrokerSettings) -> Mapping[str, str]:
    """Texts of `emqx.conf` and `acl.conf` for EMQX 5."""
    return {"emqx.conf": _emqx_conf(settings), "acl.conf": _emqx_acl()}


def _sorted(channels: frozenset[Channel]) -> list[str]:
    return sorted(channel.value for channel in channels)


def _mosquitto_conf(settings: BrokerSettings) -> str:
    tls = _mosquitto_tls(settings)
    lines = [
        "# Mosquitto 2 for edgesync. Written by `edgesync broker config mosquitto`; write it anew",
        "# instead of changing it, or put additions into a file of their own (include_dir).",
        "",
        *_mosquitto_user(settings),
        "# Who may use which topic.",
        "allow_anonymous false",
        f"acl_file {settings.directory / 'acl'}",
        "retain_available false",
        "",
        *_mosquitto_queues(settings),
        "# To the log of the service.",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "",
        *_mosquitto_nodes(settings, tls),
        "",
        "# Servers: the same authority; they take a client id of their own, and a node's id for",
        "# the moment it takes to end its connection. Keep this port away from nodes.",
        f"listener {settings.server_port} {settings.server_address}",
        *tls,
        "use_identity_as_username true",
    ]
    return "\n".join(lines) + "\n"


def _managed_conf(settings: BrokerSettings, server_socket: PurePath) -> str:
    lines = [
        "# Mosquitto 2 as a part of edgesync. Written at each start of the server.",
        "",
        *_mosquitto_user(settings),
        "per_listener_settings true",
        "retain_available false",
        "",
        *_mosquitto_queues(settings),
        "# To the log of the server.",
        "log_dest stderr",
        "log_timestamp false",
        "log_type error",
        "log_type warning",
        "",
        *_mosquitto_nodes(settings, _mosquitto_tls(settings)),
        "allow_anonymous false",
        f"acl_file {settings.directory / 'nodes.acl'}",
        "",
        "# The server: by a socket that only its user can reach.",
        f"listener 0 {server_socket}",
        "allow_anonymous true",
        f"acl_file {settings.directory / 'server.acl'}",
    ]
    return "\n".join(lines) + "\n"


def _mosquitto_user(settings: BrokerSettings) -> list[str]:
    return [f"user {settings.user}", ""] if settings.user else []


def _mosquitto_queues(settings: BrokerSettings) -> list[str]:
    return [
        "# What servers have not taken yet survives a burst and a restart of the broker. What came",
        "# in the last second before a crash may be lost: nodes report again.",
        "persistence true",
        f"persistence_location {settings.directory / 'state'}/",
        "autosave_interval 1",
        "persistent_client_expiration 1d",
        "max_inflight_messages 1000",
        "max_queued_messages 200000",
        "max_queued_bytes 536870912",
        "queue_qos0_messages false",
        f"max_packet_size {MAX_PACKET_BYTES}",
        "",
        "# Small messages at once.",
        "set_tcp_nodelay true",
        "",
    ]


def _mosquitto_nodes(settings: BrokerSettings, tls: list[str]) -> list[str]:
    return [
        "# Nodes: the name in the certificate is user name and client id, whatever a node claims.",
        f"listener {settings.node_port} {settings.node_address}",
        f"max_connections {settings.max_connections}",
        *tls,
        "use_identity_as_username true",
        "use_username_as_clientid true",
    ]


def _mosquitto_tls(settings: BrokerSettings) -> list[str]:
    directory = settings.directory
    lines = [
        f"cafile {directory / 'ca.pem'}",
        f"certfile {settings.certificate_file or directory / 'server.pem'}",
        f"keyfile {settings.key_file or directory / 'server.key'}",
        "require_certificate true",
        "tls_version tlsv1.2",
    ]
    if settings.revocation_list:
        lines.append(f"crlfile {settings.crl_file or directory / 'crl.pem'}")
    return lines


def _mosquitto_acl() -> str:
    return _nodes_acl() + f"\nuser {SERVER_NAME}\n" + _server_acl()


def _nodes_acl() -> str:
    lines = ["# Who may use which topic; %u is the name in the certificate.", ""]
    lines += [f"pattern write {PREFIX}/%u/{channel}" for channel in _sorted(FROM_NODE)]
    lines += [f"pattern read {PREFIX}/%u/{channel}" for channel in _sorted(TO_NODE)]
    return "\n".join(lines) + "\n"


def _server_acl() -> str:
    lines = [f"topic read {PREFIX}/{_ANY}/{channel}" for channel in _sorted(FROM_NODE)]
    lines += [f"topic write {PREFIX}/{_ANY}/{channel}" for channel in _sorted(TO_NODE)]
    return "\n".join(lines) + "\n"


def _emqx_conf(settings: BrokerSettings) -> str:
    return f"""\
# EMQX 5 for edgesync. Written by `edgesync broker config emqx`; include it from etc/emqx.conf or
# put it in its place.

node.name = "emqx@127.0.0.1"
node.data_dir = "{settings.directory / "state"}"

# What servers have not taken yet survives a burst; a restart of EMQX ends sessions, and nodes
# report again.
mqtt.max_packet_size = {MAX_PACKET_BYTES}B
mqtt.max_inflight = 1000
mqtt.max_mqueue_len = 200000
mqtt.mqueue_store_qos0 = false
mqtt.retain_available = false
mqtt.shared_subscription = true
mqtt.shared_subscription_strategy = round_robin
mqtt.session_expiry_interval = 1d
retainer.enable = false

# The certificate is the identity; for nodes it replaces the client id that they send.
zones.nodes.mqtt.peer_cert_as_username = cn
zones.nodes.mqtt.peer_cert_as_clientid = cn
zones.servers.mqtt.peer_cert_as_username = cn
authentication = []

# Who may use which topic.
authorization.no_match = deny
authorization.deny_action = ignore
authorization.cache.enable = true
authorization.sources = [
  {{type = file, enable = true, path = "{settings.directory / "acl.conf"}"}}
]

listeners.tcp.default.enable = false
listeners.ws.default.enable = false
listeners.wss.default.enable = false
listeners.ssl.default.enable = false

# Nodes.
{_emqx_listener("nodes", settings.node_address, settings.node_port, settings)}
# Servers. Keep this port away from nodes.
{_emqx_listener("servers", settings.server_address, settings.server_port, settings)}"""


def _emqx_listener(name: str, address: str, port: int, settings: BrokerSettings) -> str:
    directory = settings.directory
    return f"""\
listeners.ssl.{name} {{
  bind = "{address}:{port}"
  zone = {name}
  max_connections = {settings.max_connections}
  tcp_options {{nodelay = true}}
  ssl_options {{
    cacertfile = "{directory / "ca.pem"}"
    certfile = "{directory / "server.pem"}"
    keyfile = "{directory / "server.key"}"
    verify = verify_peer
    fail_if_no_peer_cert = true
    versions = [tlsv1.3, tlsv1.2]
  }}
}}
"""


def _emqx_acl() -> str:
    publish = [f'"{PREFIX}/${{username}}/{channel}"' for channel in _sorted(FROM_NODE)]
    subscribe = [f'"{PREFIX}/${{username}}/{channel}"' for channel in _sorted(TO_NODE)]
    taken = [f'"$share/{SHARE}/{PREFIX}/+/{channel}"' for channel in _sorted(FROM_NODE)]
    taken += [f'"{PREFIX}/+/{channel}"' for channel in _sorted(FROM_NODE)]
    given = [f'"{PREFIX}/+/{channel}"' for channel in _sorted(TO_NODE)]
    rules = (
        f'{{allow, {{user, "{SERVER_NAME}"}}, subscribe, [{", ".join(taken)}]}}.',
        f'{{allow, {{user, "{SERVER_NAME}"}}, publish, [{", ".join(given)}]}}.',
        f"{{allow, all, publish, [{', '.join(publish)}]}}.",
        f"{{allow, all, subscribe, [{', '.join(subscribe)}]}}.",
        "{deny, all}.",
    )
    head = "%% Who may use which topic; ${username} is the name in the certificate.\n"
    return head + "\n".join(rules) + "\n"
