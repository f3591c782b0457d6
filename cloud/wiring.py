"""The wiring of API, links and jobs: each of these functions builds one part of a server."""

import functools
import os
import random
import secrets
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from starlette.types import ASGIApp

from broker.node_budgets import NodeBudgets
from certs.authority import Authority
from certs.files import (
    ServerCertificate,
    ensure_server_certificate,
)
from certs.tls import node_listener_context, open_listener_context, server_context
from cloud.config import Settings
from cloud.core.callback import Callback
from cloud.core.channel import NotificationChannel
from cloud.core.installation import install_command
from cloud.core.renewal import RATE as RENEWAL_RATE
from cloud.core.sending import Delivery, DeliveryAttempt
from cloud.http.limits import Limiter
from cloud.http.refusals import RefusalLog
from cloud.http.write_check import WriteCheck
from cloud.jobs.cluster_membership import ClusterMembership
from cloud.jobs.command_sender import CommandSender
from cloud.jobs.delivery_sender import DeliveryClient, DeliverySender
from cloud.jobs.event_feed import EventFeed
from cloud.jobs.integrity import IntegrityCheck
from cloud.jobs.notification_timer import NotificationTimer
from cloud.jobs.pusher import Pusher
from cloud.jobs.readiness_watcher import ReadinessWatcher
from cloud.jobs.retention import Retention, RetentionLimit
from cloud.jobs.revocation_lists import RevocationLists
from cloud.jobs.rollout_driver import RolloutDriver
from cloud.jobs.secret_values import SecretValues
from cloud.jobs.server_certificate import ServerCertificateRenewer
from cloud.jobs.trend_recorder import TrendRecorder
from cloud.link.activation_throttle import ActivationThrottle
from cloud.link.exchange import Exchange
from cloud.link.http import activation_app
from cloud.link.inbox import GROUPS_ON_POSTGRESQL, NodeInbox
from cloud.link.installer import ServerAddress
from cloud.link.measures import Measures
from cloud.link.node_throttle import NodeThrottle
from cloud.link.presigning import CAN_SIGN, presigner
from cloud.link.renewal import Renewals
from cloud.link.services import LinkServices
from cloud.link.sync import sync_app
from cloud.listening import (
    server_names,
)
from cloud.opened_hub import OpenedHub, managed_crl_file
from cloud.opened_identity import open_identity
from cloud.opening import (
    Keys,
    open_integrity,
    open_source_reader,
)
from cloud.operations.admission import check_speaker
from cloud.operations.callbacks import CALLBACK_OUTBOX
from cloud.operations.channels import CHANNEL_OUTBOX, record_test
from cloud.operations.seen_rollouts import SeenRollouts
from cloud.rest.authenticator import Authenticator, CallLimits
from cloud.rest.continuation import Continuations
from cloud.rest.count_cache import CountCache
from cloud.rest.event_stream import EventStreams
from cloud.rest.services import Services
from cloud.rest.sessions import Sessions
from cloud.rest.sign_in.command_line import CommandLineSignIn
from cloud.rest.sign_in.local import LocalSignIn
from cloud.rest.sign_in.passwords import Passwords
from cloud.store.transaction import NotifyingStore, Store

Job = Callable[[], Coroutine[Any, Any, None]]
"""Works until it is cancelled."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """The server's certificate, and the TLS contexts of the listeners that present it."""

    ensure: Callable[[datetime], ServerCertificate]
    current: ServerCertificate
    api: ssl.SSLContext
    activation: ssl.SSLContext
    nodes: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Foundation:
    """The parts that jobs, API and links share."""

    settings: Settings
    keys: Keys
    store: NotifyingStore
    hub: OpenedHub
    refusals: RefusalLog
    measures: Measures
    version: str


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs that API or links also call."""

    callbacks: DeliverySender[Callback]
    channels: DeliverySender[NotificationChannel]
    revocations: RevocationLists
    commands: CommandSender
    feed: EventFeed
    integrity: IntegrityCheck
    secrets: SecretValues
    seen_rollouts: SeenRollouts
    disconnect: Callable[[str], None]
    """Ends the connection of a node whose certificates were revoked."""

    def end_waiting(self) -> None:
        """End the requests that wait for an event or for a response of a node."""
        self.feed.close()
        self.commands.notifier.close()


def now_utc() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


def new_id() -> str:
    """An id without dashes."""
    return uuid.uuid4().hex


def new_token() -> str:
    """A secret for an API token or an installation token."""
    return secrets.token_urlsafe(32)


def open_certificates(settings: Settings, authority: Authority, now: datetime) -> Certificates:
    """The server\'s certificate, made or renewed where that is due, and its TLS contexts."""
    names = server_names(settings)

    def ensure(at: datetime) -> ServerCertificate:
        return ensure_server_certificate(settings.data_dir / "ca", authority, *names, now=at)

    current = ensure(now)
    files = current.certificate_file, current.key_file
    return Certificates(
        ensure,
        current,
        api=server_context(*files),
        activation=open_listener_context(*files, authority.trusted_pem),
        nodes=node_listener_context(*files, authority.trusted_pem),
    )


def open_revocations(settings: Settings, store: Store, authority: Authority) -> RevocationLists:
    """The lists of revoked certificates, and where they are written to."""
    file = managed_crl_file(settings) if settings.has_managed_broker else settings.crl_file
    return RevocationLists(store, authority, now_utc, file)


def open_jobs(base: Foundation, revocations: RevocationLists, dashboard: str) -> Jobs:
    """The jobs that API and links call; *dashboard* is the address that messages link to."""
    settings, store, metrics = base.settings, base.store, base.measures.metrics
    callbacks = DeliverySender(
        store, CALLBACK_OUTBOX, _open_callback_client, now_utc, random.random
    )
    channels = DeliverySender(
        store,
        CHANNEL_OUTBOX,
        functools.partial(_open_channel_client, dashboard),
        now_utc,
        random.random,
    )
    if (reload := base.hub.reload) is not None:

        async def apply(node_ids: Collection[str]) -> None:
            await reload()
            for node_id in node_ids:  # which came back before the broker had the list
                base.hub.hub.disconnect(node_id)

        revocations.on_written = apply

    def disconnect(node_id: str) -> None:
        base.hub.hub.disconnect(node_id)
        revocations.wake(node_id)

    return Jobs(
        callbacks,
        channels,
        revocations,
        CommandSender(base.hub.hub, store, now_utc, base.measures),
        EventFeed(
            store,
            now_utc,
            wake_callbacks=callbacks.wake,
            metrics=metrics,
            per_minute=settings.node_events_per_minute,
        ),
        open_integrity(settings, metrics, clock=now_utc),
        SecretValues(
            store,
            open_source_reader(settings, os.environ, time.monotonic),
            now_utc,
            time.monotonic,
            new_salt=new_token,
            every=timedelta(seconds=settings.secret_refresh_seconds),
        ),
        SeenRollouts(),
        disconnect,
    )


def all_jobs(
    base: Foundation, jobs: Jobs, exchange: Exchange, certificates: Certificates
) -> Mapping[str, Job]:
    """All jobs of a server, by name: the one list of them."""
    settings, store, hub, measures = base.settings, base.store, base.hub, base.measures
    inbox = NodeInbox(
        hub.hub,
        exchange,
        admission=check_speaker if hub.client else None,
        throttle=_node_throttle(settings) if hub.client else None,
        on_heard=jobs.commands.heard,
        measures=measures,
        groups=GROUPS_ON_POSTGRESQL if settings.database else 1,
    )
    kept = settings.deploys_kept
    contexts = (certificates.api, certificates.activation, certificates.nodes)
    retention = Retention(
        store,
        now_utc,
        RetentionLimit(timedelta(days=settings.audit_days), settings.audit_entries),
        RetentionLimit(timedelta(days=settings.events_days), settings.events_kept),
    )
    every = {
        "inbox": inbox.run,
        "pusher": Pusher(
            hub.hub,
            store,
            now_utc,
            deploys_kept=kept,
            measures=measures,
            backlog=lambda: inbox.waiting_count,
        ).run,
        "revocation lists": jobs.revocations.run,
        "callbacks": jobs.callbacks.run,
        "channels": jobs.channels.run,
        "notifications": NotificationTimer(
            store,
            now_utc,
            new_id=new_id,
            wake_sender=jobs.channels.wake,
            limits=measures.metrics.limits,
        ).run,
        "events": jobs.feed.run,
        "readiness": ReadinessWatcher(store, now_utc, lambda: hub.hub.is_attached).run,
        "rollouts": RolloutDriver(
            store,
            now_utc,
            lambda: hub.hub.is_attached,
            measures=measures,
            seen=jobs.seen_rollouts,
        ).run,
        "commands": jobs.commands.run,
        "server certificate": ServerCertificateRenewer(
            certificates.ensure, contexts, now_utc, on_renewed=hub.reload
        ).run,
        "retention": retention.run,
        "trends": TrendRecorder(store, now_utc, measures).run,
        "integrity": jobs.integrity.run,
        "secrets": jobs.secrets.run,
    }
    if hub.client is not None and hub.server_id:  # otherwise this server is the only one
        every["membership"] = ClusterMembership(
            hub.server_id, hub.client, store, now_utc, version=base.version
        ).run
    return every


def rest_services(
    base: Foundation, jobs: Jobs, admin_digest: str, address: ServerAddress
) -> Services:
    """The dependencies of the REST API; *admin_digest*: of the token in `admin.token`."""
    settings, store, sealer = base.settings, base.store, base.keys.sealer
    metrics = base.measures.metrics
    limits = CallLimits(
        Limiter(settings.request_rate, time.monotonic, "requests"),
        Limiter(settings.denial_rate, time.monotonic, "denials"),
    )
    return Services(
        store=store,
        clock=now_utc,
        new_id=new_id,
        new_token=new_token,
        version=base.version,
        default_namespace=settings.namespace,
        authenticator=Authenticator(
            admin_digest, store, now_utc, limits, base.refusals, store.revision
        ),
        sessions=Sessions(sealer.session_key),
        local_sign_in=LocalSignIn(
            store,
            Passwords(),
            base.refusals,
            clock=now_utc,
            timer=time.monotonic,
            new_id=new_id,
        ),
        command_line=CommandLineSignIn(
            store, sealer.session_key, clock=now_utc, timer=time.monotonic, new_id=new_id
        ),
        identity=open_identity(settings.login_file, sealer, store, base.refusals, now_utc, new_id),
        continuations=Continuations(sealer.list_key),
        counts=CountCache(now_utc),
        streams=EventStreams(jobs.feed),
        metrics=metrics,
        refusals=base.refusals,
        on_revoked=jobs.disconnect,
        is_connected=base.hub.is_connected,
        wake_callbacks=jobs.callbacks.wake,
        try_channel=functools.partial(_try_channel, store, jobs.channels),
        wake_channels=jobs.channels.wake,
        wake_commands=jobs.commands.wake,
        notifier=jobs.commands.notifier,
        install_command=functools.partial(
            install_command, address.activation, base.keys.authority.root_pem
        ),
        function_runtimes=settings.runtimes,
        checks={
            "database": _database_check(store),
            "writes": WriteCheck(store, time.monotonic, metrics=metrics).check,
            **base.hub.checks,
        },
        reports={"integrity": jobs.integrity.report},
        seen_rollouts=jobs.seen_rollouts,
        trusted_proxies=settings.proxies,
        sealing=settings.sealing,
        can_sign=CAN_SIGN,
        check_sources=jobs.secrets.check,
        usage_step=settings.usage_step,
        revisions_kept=settings.revisions_kept,
    )


def open_renewals(base: Foundation) -> Renewals:
    """Renewal of node certificates, over MQTT, HTTPS and EST."""
    return Renewals(
        base.store,
        base.keys.authority,
        clock=now_utc,
        new_serial=x509.random_serial_number,
        grace=timedelta(days=base.settings.renewal_grace_days),
        count=Limiter(RENEWAL_RATE, time.monotonic).take,
        refusals=base.refusals,
        measures=base.measures,
    )


def open_exchange(base: Foundation, jobs: Jobs, renewals: Renewals) -> Exchange:
    """The exchange that carries out the requests of nodes."""
    settings = base.settings
    return Exchange(
        base.store,
        now_utc,
        renew=renewals.over_mqtt,
        presign=presigner(timedelta(seconds=settings.object_url_seconds)),
        sealing=settings.sealing,
        values_of=jobs.secrets.values_of,
        read_secrets=jobs.secrets.read,
        deploys_kept=settings.deploys_kept,
        usage_step=settings.usage_step,
        answer_bytes=settings.answer_bytes,
        on_answered=jobs.commands.notifier.notify,
        measures=base.measures,
    )


def activation_port(
    base: Foundation, jobs: Jobs, renewals: Renewals, address: ServerAddress
) -> ASGIApp:
    """The application of the activation port."""
    settings = base.settings
    services = LinkServices(
        store=base.store,
        authority=base.keys.authority,
        clock=now_utc,
        new_id=new_id,
        new_serial=x509.random_serial_number,
        default_namespace=settings.namespace,
        disconnect=jobs.disconnect,
        wake_callbacks=jobs.callbacks.wake,
        refusals=base.refusals,
        measures=base.measures,
        trusted_proxies=settings.proxies,
    )
    return activation_app(
        services,
        server_generated_keys=settings.server_generated_keys,
        address=address,
        public=jobs.revocations.routes(),
        limiter=Limiter(settings.request_rate, time.monotonic, "requests"),
        throttle=ActivationThrottle(base.store, settings.denial_rate, time.monotonic, now_utc),
        renewals=renewals,
    )


def sync_port(base: Foundation, exchange: Exchange) -> ASGIApp:
    """The application of the sync port."""
    settings = base.settings
    budgets = NodeBudgets(settings.node_messages_per_second, settings.node_bytes_per_second)
    return sync_app(exchange, new_id=new_id, refusals=base.refusals, budgets=budgets)


def _open_callback_client() -> AbstractAsyncContextManager[DeliveryClient[Callback]]:
    # Loaded with the first callback that is due: a tenth of what starting a server takes.
    from cloud.jobs.callback_client import open_callback_client

    return open_callback_client()


def _open_channel_client(
    dashboard: str,
) -> AbstractAsyncContextManager[DeliveryClient[NotificationChannel]]:
    from cloud.jobs.channel_client import open_channel_client  # as above

    return open_channel_client(dashboard)


async def _try_channel(
    store: Store,
    sender: DeliverySender[NotificationChannel],
    channel: NotificationChannel,
    delivery: Delivery,
) -> DeliveryAttempt:
    attempt = await sender.try_now(channel, delivery)
    await store.write(lambda tx: record_test(tx, attempt, now=now_utc()))
    return attempt


def _node_throttle(settings: Settings) -> NodeThrottle:
    return NodeThrottle(settings.node_messages_per_second, settings.node_bytes_per_second)


def _database_check(store: Store) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        await store.read(lambda tx: tx.certificate(0))

    return check
