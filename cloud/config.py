"""The settings of a server, and what each may be.

`Settings` is the one list: flags, variables, keys of the file and the table in
docs/operations/configure.md all follow from it; `settings_sources` reads them.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cloud.core.broker_urls import broker_address, broker_addresses, is_nats
from cloud.core.encryption_key import SealingPolicy
from cloud.core.folding import NODE_EVENTS_PER_MINUTE
from cloud.core.functions import RUNTIMES
from cloud.core.names import LOOPBACK, check_namespace, is_address, is_host_name
from cloud.core.rate import Rate
from cloud.core.revisions import REVISIONS_KEPT
from cloud.core.secret_source import PATH as VAULT_PATH
from cloud.core.sending import check_url
from cloud.core.tokens import EVERYWHERE
from cloud.errors import CloudError, Invalid
from cloud.http.addresses import Network

GRACE_LIMIT = 3650
"""Days for which a certificate that has ended may be renewed, at most."""

SIGNATURE_LIMIT = 7 * 24 * 3600
"""Seconds for which object stores accept a signature."""

_BETWEEN = {
    "answer_bytes": (64 * 1024, 64 * 1024 * 1024),
    "audit_days": (1, 36_500),
    "audit_entries": (1, 1_000_000_000),
    "deploys_kept": (1, 1000),
    "events_days": (1, 36_500),
    "events_kept": (1, 1_000_000_000),
    "object_url_seconds": (1, SIGNATURE_LIMIT),
    "renewal_grace_days": (0, GRACE_LIMIT),
    "revisions_kept": (1, 1000),
    "secret_refresh_seconds": (1, 86_400),
}

_DAY = 24 * 3600

_PREFIX = re.compile(r"(?!EDGESYNC)[A-Z][A-Z0-9_]{0,62}_")

SERVER_ID = re.compile(r"[A-Za-z0-9._-]{0,64}")
"""Ids of servers; as client id each broker takes them."""

_POSITIVE = (
    *("max_connections", "max_api_connections", "max_activation_connections"),
    *("max_sync_connections", "max_connections_per_address"),
    *("head_seconds", "body_seconds", "answer_seconds"),
)
_LEAST: Mapping[str, int] = {
    **dict.fromkeys(_POSITIVE, 1),
    **dict.fromkeys(("requests_per_second", "denials_per_minute", "integrity_hours"), 0),
    **dict.fromkeys(("node_messages_per_second", "node_bytes_per_second"), 0),
    "node_events_per_minute": 0,
}

MANAGED = "managed"
"""The value of `broker` with which the server starts a Mosquitto of its own."""


class BadSettings(CloudError):
    """Settings that cannot be used; the text names the key and where it stands."""


def _help(text: str) -> Mapping[str, str]:
    return {"help": text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can set about a server."""

    data_dir: Path = field(
        default=Path("data"), metadata=_help("Directory for the database, keys and certificates.")
    )
    host: str = field(default="127.0.0.1", metadata=_help("Address to listen on; 0.0.0.0 for all."))
    server_names: tuple[str, ...] = field(
        default=(),
        metadata=_help(
            "Further host names and addresses by which nodes and people reach this server."
        ),
    )
    api_port: int = field(default=9004, metadata=_help("Port of the REST API; 0 takes a free one."))
    activation_port: int = field(
        default=9003, metadata=_help("Port of the activation endpoint; 0 takes a free one.")
    )
    mqtt_port: int = field(
        default=8883, metadata=_help("Port of the MQTT hub; 0 takes a free one.")
    )
    sync_port: int = field(
        default=9005,
        metadata=_help("Port for agents that report over HTTPS; 0 takes a free one."),
    )
    database: str = field(
        default="",
        metadata=_help(
            "PostgreSQL to keep everything in, as postgresql://user@host/name; without it a file in"
            " data_dir."
        ),
    )
    broker: str = field(
        default="",
        metadata=_help(
            "MQTT 5 broker for servers, as mqtts://host:8884, or a server of a NATS cluster, as"
            " nats://host:8884, or several with commas between; managed: a Mosquitto that this"
            " server starts; without it this process is the hub."
        ),
    )
    broker_for_nodes: str = field(
        default="",
        metadata=_help("Where nodes reach that broker, as mqtts://host:8883."),
    )
    broker_credentials_file: Path | None = field(
        default=None,
        metadata=_help("File with the credentials of servers for NATS."),
    )
    server_id: str = field(
        default="",
        metadata=_help(
            "Name of this server to the broker, of no other and always the same; without it host"
            " name and API port."
        ),
    )
    public_url: str = field(
        default="",
        metadata=_help("Address of the dashboard in messages, as https://edgesync.example.com."),
    )
    namespace: str = field(default="default", metadata=_help("Namespace where none is given."))
    require_sealed_secrets: tuple[str, ...] = field(
        default=(),
        metadata=_help(
            "Namespace whose secrets are delivered sealed only, so not to nodes without an"
            " encryption key; * for all."
        ),
    )
    server_generated_keys: bool = field(
        default=False,
        metadata=_help(
            "Make the private key for a device that activates without a signing request."
        ),
    )
    renewal_grace_days: int = field(
        default=180,
        metadata=_help(
            "How long after its end a node's certificate may still be renewed, for the same key;"
            " 3650 at most."
        ),
    )
    object_url_seconds: int = field(
        default=3600,
        metadata=_help(
            "How long a node may use the URL of an object it was given; 604800 at most."
        ),
    )
    function_runtimes: tuple[str, ...] = field(
        default=(),
        metadata=_help(
            "Image of a runtime for functions, as RUNTIME=IMAGE; adds to those that are known or"
            " replaces one."
        ),
    )
    trusted_proxies: tuple[str, ...] = field(
        default=(),
        metadata=_help(
            "Network of proxies, as 10.0.0.0/8, whose X-Forwarded-For names the client."
        ),
    )
    requests_per_second: int = field(
        default=500,
        metadata=_help(
            "Requests by one token, or from one address without; 0: as many as they like."
        ),
    )
    denials_per_minute: int = field(
        default=60,
        metadata=_help(
            "Requests without a valid token from one address that are looked at; 0: all of them."
        ),
    )
    max_connections: int = field(
        default=10_000, metadata=_help("Nodes connected at the same time, at most.")
    )
    node_messages_per_second: int = field(
        default=50,
        metadata=_help("Messages of one node, ten seconds' worth at once; 0: without a limit."),
    )
    node_bytes_per_second: int = field(
        default=256 * 1024,
        metadata=_help("Bytes of messages of one node, four seconds' worth at once; 0: no limit."),
    )
    answer_bytes: int = field(
        default=8 * 1024 * 1024,
        metadata=_help("Bytes of one answer to a node's desire, at most; 65536 to 67108864."),
    )
    max_api_connections: int = field(
        default=1_024, metadata=_help("Connections to the REST API at the same time, at most.")
    )
    max_activation_connections: int = field(
        default=1_024, metadata=_help("The same of the activation endpoint.")
    )
    max_sync_connections: int = field(
        default=4_096, metadata=_help("The same of agents that report over HTTPS.")
    )
    max_connections_per_address: int = field(
        default=512,
        metadata=_help("Connections of one address to one of these ports; trusted proxies aside."),
    )
    head_seconds: int = field(
        default=10,
        metadata=_help("Time for a TLS handshake, and for the headers of a request over HTTP."),
    )
    body_seconds: int = field(
        default=30,
        metadata=_help("Time for the body of a request, and a second more for each 8 KiB."),
    )
    answer_seconds: int = field(
        default=20,
        metadata=_help("Time in which a client has to read some of an answer over HTTP."),
    )
    ca_passphrase_file: Path | None = field(
        default=None,
        metadata=_help(
            "File with the passphrase of the authority's keys; EDGESYNC_CA_PASSPHRASE can hold it"
            " too."
        ),
    )
    key_encryption_file: Path | None = field(
        default=None,
        metadata=_help("File with the key, 32 bytes in base64, that encrypts secrets.key."),
    )
    key_encryption_variable: str = field(
        default="", metadata=_help("Variable of the environment that holds that key.")
    )
    key_encryption_command: tuple[str, ...] = field(
        default=(),
        metadata=_help(
            "Program and arguments that encrypt secrets.key, of a KMS or a PKCS#11 token: from"
            " standard input to standard output."
        ),
    )
    key_decryption_command: tuple[str, ...] = field(
        default=(), metadata=_help("The same, to decrypt what that wrote.")
    )
    secret_source_dir: Path | None = field(
        default=None,
        metadata=_help(
            "Directory with a directory for each namespace, from whose files secrets may be read."
        ),
    )
    secret_variable_prefix: str = field(
        default="",
        metadata=_help(
            "Beginning of the variables that secrets may be read from, as SECRET_, before"
            " NAMESPACE__NAME."
        ),
    )
    secret_refresh_seconds: int = field(
        default=300,
        metadata=_help(
            "Seconds between two looks for changed values in the sources of secrets; 1 to 86400."
        ),
    )
    vault_url: str = field(
        default="",
        metadata=_help(
            "Vault or OpenBao that secrets may be read from, as https://vault.example.com:8200."
        ),
    )
    vault_token_file: Path | None = field(
        default=None, metadata=_help("File with the token for it; read again for each request.")
    )
    vault_ca_file: Path | None = field(
        default=None,
        metadata=_help(
            "Certificates of the authorities that its own may be of, PEM; without it those of this"
            " machine."
        ),
    )
    vault_mount: str = field(default="secret", metadata=_help("Path of its KV engine, version 2."))
    vault_prefix: str = field(
        default="edgesync",
        metadata=_help("Path in that engine, below which each namespace has its own."),
    )
    login_file: Path | None = field(
        default=None,
        metadata=_help(
            "YAML file of the identity providers (OpenID Connect) whose users may sign in, and what"
            " they may do."
        ),
    )
    crl_file: Path | None = field(
        default=None,
        metadata=_help(
            "File that always holds the list of revoked certificates, PEM, for brokers."
        ),
    )
    audit_days: int = field(
        default=400, metadata=_help("How many days entries of the audit log are kept.")
    )
    audit_entries: int = field(
        default=1_000_000, metadata=_help("How many entries of the audit log are kept, at most.")
    )
    deploys_kept: int = field(
        default=20, metadata=_help("Deploys of each node that are kept; the oldest go first.")
    )
    events_days: int = field(default=30, metadata=_help("How many days events are kept."))
    events_kept: int = field(
        default=100_000, metadata=_help("How many events are kept, at most; the oldest go first.")
    )
    usage_step_seconds: int = field(
        default=300,
        metadata=_help(
            "Seconds between two points of what a node used, kept for a day; 60 to 86400, 0: none."
        ),
    )
    revisions_kept: int = field(
        default=REVISIONS_KEPT,
        metadata=_help(
            "Revisions of each app, configuration, secret and registry that are kept; the oldest go"
            " first."
        ),
    )
    node_events_per_minute: int = field(
        default=NODE_EVENTS_PER_MINUTE,
        metadata=_help(
            "Events of one node and type that are shown in a minute, before more are folded into"
            " one; 0: no limit."
        ),
    )
    integrity_hours: int = field(
        default=24,
        metadata=_help("Hours between two integrity checks of the database; 0: none are made."),
    )
    replace_lost_keys: bool = field(
        default=False,
        metadata=_help(
            "Make a new audit.key or authority where it is missing although the database has been"
            " in use; what it proved or signed is lost."
        ),
    )
    ready_file: Path | None = field(
        default=None,
        metadata=_help("File to write the addresses to, as JSON, once the server is ready."),
    )
    log_level: str = field(
        default="info", metadata=_help("Least level that is logged: debug, info, warning, error.")
    )

    def __post_init__(self) -> None:
        self._check_numbers()
        for entry in self.function_runtimes:
            runtime, _, image = entry.partition("=")
            if not runtime.strip() or not image.strip():
                raise BadSettings(f"function_runtimes: {entry!r} is not RUNTIME=IMAGE")
        _networks(self.trusted_proxies)
        for name in self.server_names:
            if not (is_address(name) or is_host_name(name)):
                raise BadSettings(f"server_names: {name!r} is neither a host name nor an address")
        self._check_key_encryption()
        if self.usage_step_seconds and not 60 <= self.usage_step_seconds <= _DAY:
            raise BadSettings(f"usage_step_seconds: is neither 0 nor between 60 and {_DAY}")
        if self.log_level not in {"debug", "info", "warning", "error"}:
            raise BadSettings(f"log_level: {self.log_level!r} is no level")
        try:
            self._check_fleet()
            self._check_namespaces()
            self._check_secret_sources()
            if self.public_url:
                check_url("public_url", self.public_url)
        except Invalid as error:
            raise BadSettings(f"{error.field}: {error.reason}") from error

    @property
    def sealing(self) -> SealingPolicy:
        """Which secrets only leave sealed."""
        return SealingPolicy(frozenset(self.require_sealed_secrets))

    def _check_namespaces(self) -> None:
        check_namespace("namespace", self.namespace)
        for name in self.require_sealed_secrets:
            if name != EVERYWHERE:
                check_namespace("require_sealed_secrets", name)

    def _check_key_encryption(self) -> None:
        if bool(self.key_encryption_command) != bool(self.key_decryption_command):
            raise BadSettings("key_encryption_command and key_decryption_command: set both")
        given = [
            name
            for name in ("key_encryption_file", "key_encryption_variable", "key_encryption_command")
            if getattr(self, name)
        ]
        if len(given) > 1:
            raise BadSettings(f"{' and '.join(given)}: set one of them")

    def _check_secret_sources(self) -> None:
        if self.secret_variable_prefix and not _PREFIX.fullmatch(self.secret_variable_prefix):
            raise BadSettings("secret_variable_prefix: is not like SECRET_, or is EDGESYNC_")
        if bool(self.vault_url) != bool(self.vault_token_file):
            raise BadSettings("vault_url and vault_token_file: each needs the other")
        if not self.vault_url:
            return
        check_url("vault_url", self.vault_url)
        if not self.vault_url.startswith("https://") or urlsplit(self.vault_url).query:
            raise BadSettings("vault_url: is not https://HOST, with a port and path or without")
        for name in ("vault_mount", "vault_prefix"):
            text = getattr(self, name)
            if not VAULT_PATH.fullmatch(text) and (text or name == "vault_mount"):
                raise BadSettings(f"{name}: {text!r} is not a path like a/b")

    def _check_fleet(self) -> None:
        if self.database and urlsplit(self.database).scheme not in {"postgresql", "postgres"}:
            raise BadSettings("database: begins with neither postgresql:// nor postgres://")
        if self.has_external_broker != bool(self.broker_for_nodes):
            raise BadSettings("broker and broker_for_nodes: each needs the other")
        if self.has_external_broker:
            broker_addresses(self.broker)
            broker_address("broker_for_nodes", self.broker_for_nodes)
        if is_nats(self.broker) != bool(self.broker_credentials_file):
            raise BadSettings("broker_credentials_file: is for NATS, which needs it")
        if not SERVER_ID.fullmatch(self.server_id):
            raise BadSettings("server_id: is not made of up to 64 letters, digits, . _ and -")

    def _check_numbers(self) -> None:
        for port in ("api_port", "activation_port", "mqtt_port", "sync_port"):
            if not 0 <= getattr(self, port) <= 65535:
                raise BadSettings(f"{port}: {getattr(self, port)} is not between 0 and 65535")
        for setting, (least, most) in _BETWEEN.items():
            if not least <= getattr(self, setting) <= most:
                raise BadSettings(f"{setting}: is not between {least} and {most}")
        for limit, least in _LEAST.items():
            if getattr(self, limit) < least:
                raise BadSettings(f"{limit}: is less than {least}")

    @property
    def runtimes(self) -> Mapping[str, str]:
        """Image of each runtime that functions can have."""
        given = (entry.partition("=") for entry in self.function_runtimes)
        return {**RUNTIMES, **{runtime.strip(): image.strip() for runtime, _, image in given}}

    @property
    def usage_step(self) -> timedelta:
        """Time between two points of usage; none if no usage is kept."""
        return timedelta(seconds=self.usage_step_seconds)

    @property
    def proxies(self) -> Sequence[Network]:
        """Networks of the proxies that are believed where a request came from."""
        return _networks(self.trusted_proxies)

    @property
    def request_rate(self) -> Rate | None:
        """How often one caller may ask; ten seconds' worth at once, None: as often as it likes."""
        limit = self.requests_per_second
        return Rate(10 * limit, limit) if limit else None

    @property
    def denial_rate(self) -> Rate | None:
        """How often one address may fail to prove who it is; None: as often as it likes."""
        limit = self.denials_per_minute
        return Rate(limit, limit / 60) if limit else None

    @property
    def has_managed_broker(self) -> bool:
        """Whether the server starts a broker, which nothing else uses."""
        return self.broker == MANAGED

    @property
    def has_external_broker(self) -> bool:
        """Whether nodes connect to a broker that servers may share."""
        return bool(self.broker) and not self.has_managed_broker

    @property
    def is_on_loopback(self) -> bool:
        """Whether only this machine can reach the ports."""
        return self.host in LOOPBACK


def _networks(entries: Sequence[str]) -> Sequence[Network]:
    try:
        return [ipaddress.ip_network(entry) for entry in entries]
    except ValueError as error:
        raise BadSettings(f"trusted_proxies: {error}") from error
