"""The wiring: opens everything in order, runs it side by side, closes it in reverse.

Nothing else constructs anything. The servers, the inbox, the pusher and the sender of callbacks are
siblings in one TaskGroup: a death nobody expected ends the process with its traceback, and what
supervises it starts it again.
"""

import asyncio
import contextlib
import functools
import hashlib
import logging
import os
import random
import secrets
import signal
import socket
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from starlette.types import ASGIApp

from broker.hub import Gate, ShownCertificate
from broker.node_budgets import NodeBudgets
from certs.authority import Authority
from certs.files import (
    ServerCertificate,
    ensure_server_certificate,
)
from certs.keys import certificate_key_digest
from certs.pem_files import read_certificate, write_file
from certs.tls import node_listener_context, open_listener_context, server_context
from cloud.config import BadSettings, Settings, settings_text
from cloud.core.audit import Head
from cloud.core.installation import install_command
from cloud.core.renewal import RATE as RENEWAL_RATE
from cloud.errors import Denied
from cloud.http.limits import Limiter
from cloud.http.metrics import LimitRefusals
from cloud.http.refusals import RefusalLog
from cloud.http.write_check import WriteCheck
from cloud.jobs.callback_sender import CallbackSender, open_callback_client
from cloud.jobs.cluster_membership import ClusterMembership
from cloud.jobs.command_sender import CommandSender
from cloud.jobs.event_feed import EventFeed
from cloud.jobs.integrity import IntegrityCheck
from cloud.jobs.pusher import Pusher
from cloud.jobs.readiness_watcher import ReadinessWatcher
from cloud.jobs.retention import Retention, RetentionLimit
from cloud.jobs.revocation_lists import RevocationLists
from cloud.jobs.server_certificate import ServerCertificateRenewer
from cloud.link.activation_throttle import ActivationThrottle
from cloud.link.exchange import Exchange
from cloud.link.http import activation_app
from cloud.link.inbox import NodeInbox
from cloud.link.presigning import CAN_SIGN, presigner
from cloud.link.refused_connections import RefusedConnections, connect_attempt
from cloud.link.renewal import Renewals
from cloud.link.sync import sync_app
from cloud.listening import (
    Addresses,
    WebServer,
    addresses_of,
    install_address_of,
    listen,
    open_ports,
    raise_descriptor_limit,
    server_names,
    tell_ready,
    web_server,
    within_descriptors,
)
from cloud.opening import OpenedHub, open_hub, open_integrity, open_keys, open_metrics, open_store
from cloud.operations.admission import bind_key, check_speaker, needs_key, reason_against
from cloud.operations.audit import start_log
from cloud.rest.app import rest_app
from cloud.rest.callers import CallLimits
from cloud.rest.event_stream import EventStreams
from cloud.store.backup import SETTINGS_FILE
from cloud.store.interface import Store, Transaction

logger = logging.getLogger(__name__)

ROTATION_DUE = timedelta(days=180)
"""What may be left of root and intermediate without a warning at each start; nodes take 90 days."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """An open server, not yet running."""

    addresses: Addresses
    web_servers: Sequence[WebServer]
    inbox: NodeInbox
    pusher: Pusher
    revocations: RevocationLists
    callbacks: CallbackSender
    feed: EventFeed
    watcher: ReadinessWatcher
    commands: CommandSender
    own_certificate: ServerCertificateRenewer
    retention: Retention
    integrity: IntegrityCheck
    servers: ClusterMembership | None
    sockets: tuple[socket.socket, socket.socket, socket.socket]
    """Of API, activation and sync, as the servers are."""


def now_utc() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


def _new_id() -> str:
    return uuid.uuid4().hex


def _new_token() -> str:
    return secrets.token_urlsafe(32)


async def serve(
    settings: Settings,
    *,
    version: str,
    announce: Callable[[str], None],
    ca_passphrase: bytes | None = None,
) -> None:
    """Run a server until SIGTERM or SIGINT; *announce* gets the one line that says it is ready.

    *ca_passphrase* opens the authority's keys; None where they are plain.
    """
    os.umask(0o077)  # what is written is the owner's alone
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    opening = open_cloud(settings, version=version, ca_passphrase=ca_passphrase)
    async with opening as cloud, asyncio.TaskGroup() as tasks:
        workers = [
            tasks.create_task(cloud.inbox.run(), name="inbox"),
            tasks.create_task(cloud.pusher.run(), name="pusher"),
            tasks.create_task(cloud.revocations.run(), name="revocation lists"),
            tasks.create_task(cloud.callbacks.run(), name="callbacks"),
            tasks.create_task(cloud.feed.run(), name="events"),
            tasks.create_task(cloud.watcher.run(), name="watcher"),
            tasks.create_task(cloud.commands.run(), name="commands"),
            tasks.create_task(cloud.own_certificate.run(), name="own certificate"),
            tasks.create_task(cloud.retention.run(), name="retention"),
            tasks.create_task(cloud.integrity.run(), name="integrity"),
            *([tasks.create_task(cloud.servers.run(), name="servers")] if cloud.servers else []),
        ]
        for server, listener in zip(cloud.web_servers, cloud.sockets, strict=True):
            tasks.create_task(server.serve(sockets=[listener]), name="web server")
        tell_ready(cloud.addresses, settings.ready_file, announce)
        await stop.wait()
        logger.info("stopping")
        cloud.feed.close()
        cloud.commands.notifier.close()
        for server in cloud.web_servers:
            server.should_exit = True
        for worker in workers:
            worker.cancel()
    logger.info("stopped")


@contextlib.asynccontextmanager
async def open_cloud(
    settings: Settings, *, version: str, ca_passphrase: bytes | None = None
) -> AsyncIterator[Cloud]:
    """Everything opened, ports taken; closed in reverse at the end."""
    now = now_utc()
    data = settings.data_dir
    fitted = within_descriptors(settings, raise_descriptor_limit())
    keys = open_keys(settings, now=now, ca_passphrase=ca_passphrase)
    sealer, witness, authority = keys.sealer, keys.witness, keys.authority
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(settings, sealer=sealer, witness=witness)
        )
        write_file(data / SETTINGS_FILE, settings_text(settings).encode())
        await _start_log(store, witness.head(), version, keys.made_anew)
        digest = _admin_token_digest(data / "admin.token", had_one=keys.has_run)
        ensure = functools.partial(
            ensure_server_certificate, data / "ca", authority, *server_names(settings)
        )
        certificate = ensure(now=now)
        listeners = (
            stack.enter_context(listen(settings.host, settings.api_port, "api_port")),
            stack.enter_context(listen(settings.host, settings.activation_port, "activation_port")),
            stack.enter_context(listen(settings.host, settings.sync_port, "sync_port")),
        )
        nodes_tls = node_listener_context(
            certificate.certificate_file, certificate.key_file, authority.trusted_pem
        )
        refusals = RefusalLog(store, time.monotonic)
        refused = RefusedConnections(refusals, now_utc)
        opened = await stack.enter_async_context(
            open_hub(
                fitted,
                authority,
                nodes_tls,
                _gate(store, refusals),
                listeners[0].getsockname()[1],
                clock=now_utc,
                on_refused=refused.record,
            )
        )
        client = await stack.enter_async_context(open_callback_client())
        callbacks = CallbackSender(store, client, now_utc, random.random)
        install_address = install_address_of(settings, listeners[1], opened)
        revocations = RevocationLists(store, authority, now_utc, settings.crl_file)

        def cut_off(node_id: str) -> None:
            opened.hub.disconnect(node_id)
            revocations.wake()

        ends = functools.partial(_ends, authority, certificate)
        _warn_of_ends(ends(), now)
        measures = open_metrics(opened, store, clock=now_utc, timer=time.monotonic, ends=ends)
        commands = CommandSender(opened.hub, store, now_utc, measures)
        feed = EventFeed(
            store,
            now_utc,
            wake_callbacks=callbacks.wake,
            metrics=measures.metrics,
            per_minute=settings.node_events_per_minute,
        )
        integrity = open_integrity(settings, measures.metrics, clock=now_utc)
        people = rest_app(
            store,
            clock=now_utc,
            new_id=_new_id,
            admin_token_digest=digest,
            default_namespace=settings.namespace,
            on_revoked=cut_off,
            is_connected=opened.is_connected,
            wake_callbacks=callbacks.wake,
            wake_commands=commands.wake,
            notifier=commands.notifier,
            metrics=measures.metrics,
            checks={
                "database": _database_check(store),
                "writes": WriteCheck(store, time.monotonic, metrics=measures.metrics).check,
                **opened.checks,
            },
            reports={"integrity": integrity.report},
            version=version,
            new_token=_new_token,
            install_command=functools.partial(
                install_command, install_address.activation, authority.root_pem
            ),
            function_runtimes=settings.runtimes,
            list_key=sealer.list_key,
            session_key=sealer.session_key,
            limits=CallLimits(
                Limiter(settings.request_rate, time.monotonic),
                Limiter(settings.denial_rate, time.monotonic),
            ),
            refusals=refusals,
            streams=EventStreams(feed),
            trusted_proxies=settings.proxies,
            can_sign=CAN_SIGN,
            usage_step=settings.usage_step,
            revisions_kept=settings.revisions_kept,
        )
        renewals = Renewals(
            store,
            authority,
            clock=now_utc,
            new_serial=x509.random_serial_number,
            grace=timedelta(days=settings.renewal_grace_days),
            count=Limiter(RENEWAL_RATE, time.monotonic).take,
            refusals=refusals,
            measures=measures,
        )
        devices = activation_app(
            store,
            authority,
            clock=now_utc,
            new_id=_new_id,
            new_serial=x509.random_serial_number,
            default_namespace=settings.namespace,
            server_generated_keys=settings.server_generated_keys,
            address=install_address,
            limiter=Limiter(settings.request_rate, time.monotonic),
            guard=ActivationThrottle(store, settings.denial_rate, time.monotonic),
            refusals=refusals,
            renewals=renewals,
            trusted_proxies=settings.proxies,
            disconnect=cut_off,
            wake_callbacks=callbacks.wake,
            public=revocations.routes(),
            measures=measures,
        )
        exchange = Exchange(
            store,
            now_utc,
            renew=renewals.over_mqtt,
            presign=presigner(timedelta(seconds=settings.object_url_seconds)),
            deploys_kept=settings.deploys_kept,
            usage_step=settings.usage_step,
            answer_bytes=settings.answer_bytes,
            on_answered=commands.notifier.notify,
            measures=measures,
        )
        budgets = NodeBudgets(settings.node_messages_per_second, settings.node_bytes_per_second)
        tls = server_context(certificate.certificate_file, certificate.key_file)
        open_tls = open_listener_context(
            certificate.certificate_file, certificate.key_file, authority.trusted_pem
        )
        yield Cloud(
            addresses=addresses_of(settings, listeners, opened, data),
            web_servers=_web_servers(
                fitted,
                measures.metrics.limits,
                refusals,
                (people, None if settings.is_on_loopback else tls),
                (devices, open_tls),
                (
                    sync_app(exchange, new_id=_new_id, refusals=refusals, budgets=budgets),
                    nodes_tls,
                ),
            ),
            inbox=NodeInbox(
                opened.hub,
                exchange,
                admission=check_speaker if opened.client else None,
                on_heard=commands.heard,
                measures=measures,
            ),
            servers=_servers(opened, store),
            pusher=Pusher(
                opened.hub, store, now_utc, deploys_kept=settings.deploys_kept, measures=measures
            ),
            revocations=revocations,
            callbacks=callbacks,
            feed=feed,
            watcher=ReadinessWatcher(store, now_utc, lambda: opened.hub.is_attached),
            commands=commands,
            own_certificate=ServerCertificateRenewer(
                lambda now: ensure(now=now), (tls, open_tls, nodes_tls), now_utc
            ),
            integrity=integrity,
            retention=Retention(
                store,
                now_utc,
                RetentionLimit(timedelta(days=settings.audit_days), settings.audit_entries),
                RetentionLimit(timedelta(days=settings.events_days), settings.events_kept),
            ),
            sockets=listeners,
        )


def _web_servers(
    settings: Settings,
    counted: LimitRefusals,
    refusals: RefusalLog,
    *served: tuple[ASGIApp, ssl.SSLContext | None],
) -> Sequence[WebServer]:
    """ClusterMembership of what is *served* on the ports of API, activation and sync."""
    ports = open_ports(
        settings,
        counted=counted,
        new_id=_new_id,
        on_refused_handshake=lambda address, reason: refusals.note_handshake(
            address, reason, now_utc()
        ),
    )
    return [web_server(app, tls, port) for (app, tls), port in zip(served, ports, strict=True)]


async def _start_log(
    store: Store, noted: Head | None, version: str, new_keys: Sequence[str]
) -> None:
    if new_keys:
        logger.error(
            "%s: lost, and made anew as --replace-lost-keys says; take that flag away",
            ", ".join(new_keys),
        )

    def work(tx: Transaction) -> bool:
        return start_log(tx, noted, version=version, now=now_utc(), new_keys=new_keys)

    if not await store.write(work):
        logger.error(
            "the audit log ends before entry %d, which was in it: the database is an older copy,"
            " or somebody cut it; an entry says so from now on",
            noted.number if noted else 0,
        )


def _servers(opened: OpenedHub, store: Store) -> ClusterMembership | None:
    """This server among others; None where it has a hub of its own and is alone."""
    if opened.client is None:
        return None
    return ClusterMembership(opened.server_id, opened.client, store, now_utc)


def _ends(authority: Authority, server: ServerCertificate) -> Mapping[str, datetime]:
    """When each certificate of this server ends; its own may be renewed while it runs."""
    return {
        "root": authority.root.not_valid_after_utc,
        "intermediate": authority.intermediate.not_valid_after_utc,
        "server": read_certificate(server.certificate_file).not_valid_after_utc,
    }


def _warn_of_ends(ends: Mapping[str, datetime], now: datetime) -> None:
    for name in ("root", "intermediate"):
        if ends[name] - now < ROTATION_DUE:
            logger.warning(
                "the %s of the authority ends at %s; see `edgesync ca`", name, ends[name]
            )


def _gate(store: Store, refusals: RefusalLog) -> Gate:
    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        now, serial = now_utc(), shown.serial
        key = certificate_key_digest(x509.load_der_x509_certificate(shown.der))

        def look(tx: Transaction) -> tuple[str, bool]:
            reason = reason_against(tx, node_id, serial, key, now=now)
            return reason, needs_key(tx, serial)

        def bind(tx: Transaction) -> tuple[str, bool]:
            bind_key(tx, serial, key)
            return look(tx)

        reason, is_unbound = await store.read(look)
        if not reason and is_unbound:
            reason, _ = await store.write(bind)
        if reason:
            await refusals.note(connect_attempt(node_id, shown.address, now), Denied(reason))
        return not reason

    return gate


def _database_check(store: Store) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        await store.read(lambda tx: tx.certificate(0))

    return check


def _admin_token_digest(file: Path, *, had_one: bool) -> bytes:
    """SHA-256 of the administrator's token; made where there is none, for its owner alone.

    *had_one* says that there should be one.
    """
    if not file.exists():
        partial = file.with_suffix(".new")
        partial.write_text(secrets.token_urlsafe(32) + "\n", encoding="ascii")
        partial.chmod(0o600)
        partial.rename(file)
        level = logging.WARNING if had_one else logging.INFO
        logger.log(level, "there was no %s: made an administrator token", file)
    if file.stat().st_mode & 0o077:
        raise BadSettings(f"{file}: others may read it; chmod 600 {file}")
    token = file.read_text(encoding="ascii").strip()
    if len(token) < 16:
        raise BadSettings(f"{file}: holds no token; remove it to have a new one made")
    return hashlib.sha256(token.encode()).digest()
