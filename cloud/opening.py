"""The choices of the settings: the database, and the hub that nodes connect to.

Embedded by default: SQLite and a hub in this process. PostgreSQL and a broker make this one of many
servers that are all alike (docs/operations/several-servers.md).
"""

import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from broker.hub import Gate, OnRefused
from broker.limits import HubLimits
from certs.authority import Authority
from certs.files import RETIRED, load_or_create_authority
from cloud.config import BadSettings, Settings
from cloud.core.broker_urls import is_nats
from cloud.http.metrics import Metrics
from cloud.jobs.integrity import IntegrityCheck
from cloud.jobs.revocation_lists import RevocationLists
from cloud.jobs.source_reader import ReadFields, SourceReader
from cloud.link.measures import Measures, add_connection_metrics, add_hub_metrics
from cloud.opened_hub import OpenedHub
from cloud.rest.metrics import add_certificate_metrics, add_store_metrics
from cloud.store.key_encryption import (
    KeyEncryption,
    KeyFromCommand,
    key_from_file,
    key_from_variable,
)
from cloud.store.lost_keys import AUTHORITY, SEALING_KEY, check_lost, lost_keys
from cloud.store.permissions import directory_trouble
from cloud.store.rekeying import settle_key
from cloud.store.sealing import Sealer, load_or_create_sealer
from cloud.store.sqlite import open_sqlite_store
from cloud.store.transaction import NotifyingStore, Store
from cloud.store.upkeep import Database, SqliteDatabase
from cloud.store.witness import HEAD_FILE, KEY_FILE, Witness, load_or_create_witness

if TYPE_CHECKING:
    from cloud.jobs.vault_client import VaultClient

_BESIDE_ANSWER = 4 * 1024 * 1024
"""Bytes that may wait for a node beside the largest answer."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys in a data directory, beside the database."""

    sealer: Sealer
    witness: Witness
    authority: Authority
    has_run: bool
    """Whether a server has run in this directory before."""
    made_anew: Sequence[str]
    """Names of those that were lost and took their place, as the settings allow."""


def open_keys(settings: Settings, *, now: datetime, ca_passphrase: bytes | None) -> Keys:
    """The keys in the data directory, made where the database is new.

    BadSettings if others can change the directory, Unavailable if a key is lost or cannot be used,
    and what `certs.files.load_or_create_authority` raises.
    """
    data = settings.data_dir
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    for directory in (data, data / AUTHORITY, data / AUTHORITY / RETIRED):
        if directory.exists() and (trouble := directory_trouble(directory)):
            raise BadSettings(trouble)
    database = database_of(data, settings.database)
    settle_key(database, data / SEALING_KEY)
    lost = lost_keys(database, data)
    has_run = (data / HEAD_FILE).exists()
    check_lost(lost, data, may_replace=settings.replace_lost_keys)
    return Keys(
        load_or_create_sealer(data / SEALING_KEY, key_encryption(settings, os.environ)),
        load_or_create_witness(data, has_new_key=KEY_FILE in lost),
        load_or_create_authority(data / AUTHORITY, now=now, passphrase=ca_passphrase),
        has_run,
        lost,
    )


def key_encryption(settings: Settings, environ: Mapping[str, str]) -> KeyEncryption | None:
    """What encrypts the key of the database, as the settings name it; None: nothing does.

    Unavailable if the key that they name cannot be read.
    """
    if settings.key_encryption_file is not None:
        return key_from_file(settings.key_encryption_file)
    if name := settings.key_encryption_variable:
        return key_from_variable(name, environ.get(name))
    if settings.key_decryption_command:
        return KeyFromCommand(settings.key_encryption_command, settings.key_decryption_command)
    return None


def open_source_reader(
    settings: Settings, environ: Mapping[str, str], timer: Callable[[], float]
) -> SourceReader:
    """What reads the sources of secrets; BadSettings if the settings name what cannot be used."""
    vault = _open_vault(settings, timer) if settings.vault_url else None
    return SourceReader(settings.secret_source_dir, settings.secret_variable_prefix, environ, vault)


def _open_vault(settings: Settings, timer: Callable[[], float]) -> ReadFields:
    try:
        trust = ssl.create_default_context(cafile=settings.vault_ca_file)
    except OSError as error:
        raise BadSettings(f"vault_ca_file: {settings.vault_ca_file}: {error}") from error

    @cache
    def client() -> "VaultClient":
        # Loaded with the first value that is read: the HTTP client takes a tenth of a start.
        from cloud.jobs.vault_client import VaultClient, VaultPlace

        file = settings.vault_token_file or Path()
        place = VaultPlace(settings.vault_url, file, settings.vault_mount, settings.vault_prefix)
        return VaultClient(place, trust, timer)

    return lambda namespace, path: client().fields(namespace, path)


def open_store(
    settings: Settings, *, sealer: Sealer, witness: Witness
) -> AbstractAsyncContextManager[NotifyingStore]:
    """The database that the settings name; BadSettings if it needs what is not installed."""
    if not settings.database:
        file = settings.data_dir / "edgesync.db"
        return open_sqlite_store(file, sealer=sealer, witness=witness)
    try:
        from cloud.store.postgres import open_postgres_store
    except ImportError as error:
        raise BadSettings("database: PostgreSQL needs edgesync[postgres]") from error
    # With a hub of its own a server cannot reach the nodes of another: then it is the only one.
    return open_postgres_store(
        settings.database, sealer=sealer, witness=witness, alone=not settings.has_external_broker
    )


def database_of(data_dir: Path, url: str) -> Database:
    """The same database for offline commands; BadSettings as in `open_store`."""
    if not url:
        return SqliteDatabase(data_dir / "edgesync.db")
    try:
        from cloud.store.postgres_upkeep import PostgresDatabase
    except ImportError as error:
        raise BadSettings("database: PostgreSQL needs edgesync[postgres]") from error
    return PostgresDatabase(url)


@contextlib.asynccontextmanager
async def open_hub(
    settings: Settings,
    authority: Authority,
    tls: ssl.SSLContext,
    gate: Gate,
    api_port: int,
    *,
    clock: Callable[[], datetime],
    on_refused: OnRefused,
    revocations: RevocationLists,
) -> AsyncIterator[OpenedHub]:
    """The hub that the settings name; *tls*, *on_refused* are for one in this process.

    *gate* is for that one and for NATS, *revocations* are for a managed broker.
    """
    if settings.has_managed_broker:
        from cloud.managed_hub import open_managed_hub  # loads psutil and the MQTT client

        async with open_managed_hub(settings, authority, revocations) as opened:
            yield opened
        return
    if is_nats(settings.broker):
        from cloud.nats_cluster import open_cluster_hub

        async with open_cluster_hub(settings, authority, gate, api_port, clock=clock) as opened:
            yield opened
        return
    if settings.broker:
        from cloud.client_hub import open_broker_hub  # loads the MQTT client

        async with open_broker_hub(settings, authority, api_port, now=clock()) as opened:
            yield opened
        return
    from broker.embedded import open_embedded_hub  # needed by no other hub

    async with contextlib.AsyncExitStack() as stack:
        opening = open_embedded_hub(
            host=settings.host,
            port=settings.mqtt_port,
            tls=tls,
            gate=gate,
            clock=clock,
            limits=hub_limits(settings),
            on_refused=on_refused,
        )
        try:
            embedded = await stack.enter_async_context(opening)
        except OSError as error:
            where = f"{settings.host}:{settings.mqtt_port}"
            raise BadSettings(f"mqtt_port: cannot listen on {where}: {error.strerror}") from error

        def add_embedded_metrics(metrics: Metrics) -> None:
            add_hub_metrics(metrics, lambda: embedded.queued_count)
            add_connection_metrics(metrics, lambda: embedded.connection_count, embedded.counters)

        yield OpenedHub(
            embedded, None, embedded.port, {}, embedded.is_connected, add_embedded_metrics
        )


def open_integrity(
    settings: Settings, metrics: Metrics, *, clock: Callable[[], datetime]
) -> IntegrityCheck:
    """The integrity check of the database that the settings name."""
    database = database_of(settings.data_dir, settings.database)
    return IntegrityCheck(database, clock, metrics, every=timedelta(hours=settings.integrity_hours))


def hub_limits(settings: Settings) -> HubLimits:
    """The limits of the embedded hub that follow from *settings*."""
    return HubLimits(
        max_connections=settings.max_connections,
        node_messages_per_second=settings.node_messages_per_second,
        node_bytes_per_second=settings.node_bytes_per_second,
        max_buffered_bytes=settings.answer_bytes + _BESIDE_ANSWER,
    )


def open_metrics(
    opened: OpenedHub,
    store: Store,
    *,
    clock: Callable[[], datetime],
    timer: Callable[[], float],
    ends: Callable[[], Mapping[str, datetime]],
) -> Measures:
    """All metrics of a server, and what the links count on them; *timer* does not go back."""
    metrics = Metrics()
    metrics.add_process()
    opened.add_metrics(metrics)
    add_certificate_metrics(metrics, store, clock, ends)
    add_store_metrics(metrics, store, clock, timer)
    return Measures(metrics)
