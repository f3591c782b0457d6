"""The wiring: opens everything in order, runs it side by side, closes it in reverse.

Nothing else constructs anything. Web servers and jobs are siblings in one TaskGroup: an unexpected
exception ends the process with its traceback, and its supervisor starts it again.
"""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from starlette.types import ASGIApp

from broker.hub import Gate, ShownCertificate
from certs.authority import Authority
from certs.files import (
    ServerCertificate,
)
from certs.keys import certificate_key_digest
from certs.pem_files import read_certificate, update_file
from cloud.config import BadSettings, Settings
from cloud.core.admin_access import AdminAccess
from cloud.core.audit import Head
from cloud.core.installation import digest_of
from cloud.errors import Denied, Invalid
from cloud.http.metrics import LimitRefusals
from cloud.http.refusals import RefusalLog
from cloud.link.refused_connections import RefusedConnections, connect_attempt
from cloud.listening import (
    Addresses,
    WebServer,
    addresses_of,
    announce_ready,
    dashboard_address_of,
    install_address_of,
    listen,
    open_ports,
    raise_descriptor_limit,
    web_server,
    within_descriptors,
)
from cloud.opening import (
    open_hub,
    open_keys,
    open_metrics,
    open_store,
)
from cloud.operations.admission import bind_key, needs_key, reason_against
from cloud.operations.audit import start_log
from cloud.rest.app import rest_app
from cloud.settings_sources import settings_text
from cloud.store.admin_token_file import (
    ADMIN_TOKEN_FILE,
    read_admin_token,
    write_admin_token,
)
from cloud.store.backup import SETTINGS_FILE
from cloud.store.transaction import Store, Transaction
from cloud.wiring import (
    Foundation,
    Job,
    activation_port,
    all_jobs,
    new_id,
    new_token,
    now_utc,
    open_certificates,
    open_exchange,
    open_jobs,
    open_renewals,
    open_revocations,
    rest_services,
    sync_port,
)

logger = logging.getLogger(__name__)

ROTATION_DUE = timedelta(days=180)
"""Remaining validity of root and intermediate below which each start warns."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """An open server, not yet running."""

    addresses: Addresses
    web_servers: Sequence[WebServer]
    sockets: Sequence[socket.socket]
    """Of API, activation and sync, as the servers are."""
    jobs: Mapping[str, Job]
    """All that runs beside the web servers, by name."""
    end_waiting: Callable[[], None]
    """Ends the requests that wait for something to happen."""


async def serve(
    settings: Settings,
    *,
    version: str,
    announce: Callable[[str], None],
    ca_passphrase: bytes | None = None,
) -> None:
    """Run a server until SIGTERM or SIGINT; *announce* gets the one line that reports readiness.

    *ca_passphrase* opens the authority's keys; None where they are plain.
    """
    os.umask(0o077)  # what is written is the owner's alone
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    opening = open_cloud(settings, version=version, ca_passphrase=ca_passphrase)
    async with opening as cloud, asyncio.TaskGroup() as tasks:
        workers = [tasks.create_task(run(), name=name) for name, run in cloud.jobs.items()]
        for server, listener in zip(cloud.web_servers, cloud.sockets, strict=True):
            tasks.create_task(server.serve(sockets=[listener]), name="web server")
        announce_ready(cloud.addresses, settings.ready_file, announce)
        await stop.wait()
        logger.info("stopping")
        cloud.end_waiting()
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
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(settings, sealer=keys.sealer, witness=keys.witness)
        )
        update_file(data / SETTINGS_FILE, settings_text(settings).encode())
        await _start_log(store, keys.witness.head(), version, keys.made_anew)
        access = await store.read(lambda tx: tx.admin_access())
        digest = _admin_token_digest(data / ADMIN_TOKEN_FILE, access, had_one=keys.has_run)
        certificates = open_certificates(settings, keys.authority, now)
        listeners = [
            stack.enter_context(listen(settings.host, getattr(settings, name), name))
            for name in ("api_port", "activation_port", "sync_port")
        ]
        refusals = RefusalLog(store, time.monotonic)
        revocations = open_revocations(settings, store, keys.authority)
        hub = await stack.enter_async_context(
            open_hub(
                fitted,
                keys.authority,
                certificates.nodes,
                _gate(store, refusals),
                listeners[0].getsockname()[1],
                clock=now_utc,
                on_refused=RefusedConnections(refusals, now_utc).record,
                revocations=revocations,
            )
        )
        expiry = functools.partial(_expiry, keys.authority, certificates.current)
        _warn_of_expiry(expiry(), now)
        measures = open_metrics(hub, store, clock=now_utc, timer=time.monotonic, ends=expiry)
        measures.metrics.limits.add_source(lambda: {"audit_refusals": refusals.omitted})
        base = Foundation(settings, keys, store, hub, refusals, measures, version)
        jobs = open_jobs(base, revocations, dashboard_address_of(settings, listeners[0]))
        address = install_address_of(settings, listeners[1], hub)
        renewals = open_renewals(base)
        exchange = open_exchange(base, jobs, renewals)
        api = rest_app(rest_services(base, jobs, digest, address))
        apps = (
            (api, None if settings.is_on_loopback else certificates.api),
            (activation_port(base, jobs, renewals, address), certificates.activation),
            (sync_port(base, exchange), certificates.nodes),
        )
        yield Cloud(
            addresses=addresses_of(settings, listeners, hub, data),
            web_servers=_web_servers(fitted, measures.metrics.limits, refusals, *apps),
            sockets=listeners,
            jobs=all_jobs(base, jobs, exchange, certificates),
            end_waiting=jobs.end_waiting,
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
        new_id=new_id,
        on_refused_handshake=lambda address, reason: refusals.record_handshake(
            address, reason, now_utc()
        ),
    )
    return [web_server(app, tls, port) for (app, tls), port in zip(served, ports, strict=True)]


async def _start_log(
    store: Store, noted: Head | None, version: str, new_keys: Sequence[str]
) -> None:
    if new_keys:
        logger.error(
            "%s: lost, and created anew because of --replace-lost-keys; remove that flag",
            ", ".join(new_keys),
        )

    def work(tx: Transaction) -> bool:
        return start_log(tx, noted, version=version, now=now_utc(), new_keys=new_keys)

    if not await store.write(work):
        logger.error(
            "the audit log ends before entry %d, which was in it: the database is an older copy,"
            " or the log was truncated; a new entry records it",
            noted.number if noted else 0,
        )


def _expiry(authority: Authority, server: ServerCertificate) -> Mapping[str, datetime]:
    """When each certificate of this server ends; its own may be renewed while it runs."""
    return {
        "root": authority.root.not_valid_after_utc,
        "intermediate": authority.intermediate.not_valid_after_utc,
        "server": read_certificate(server.certificate_file).not_valid_after_utc,
    }


def _warn_of_expiry(ends: Mapping[str, datetime], now: datetime) -> None:
    for name in ("root", "intermediate"):
        if ends[name] - now < ROTATION_DUE:
            logger.warning(
                "the %s of the authority ends at %s; see `edgesync ca`", name, ends[name]
            )


def _gate(store: Store, refusals: RefusalLog) -> Gate:
    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        now, serial = now_utc(), shown.certificate.serial_number
        key = certificate_key_digest(shown.certificate)

        def look(tx: Transaction) -> tuple[str, bool]:
            reason = reason_against(tx, node_id, serial, key, now=now)
            return reason, needs_key(tx, serial)

        def bind(tx: Transaction) -> tuple[str, bool]:
            bind_key(tx, serial, key)
            return look(tx)

        reason, is_unbound = await store.read_short(look)
        if not reason and is_unbound:
            reason, _ = await store.write(bind)
        if reason:
            await refusals.record(connect_attempt(node_id, shown.address, now), Denied(reason))
        return not reason

    return gate


def _admin_token_digest(file: Path, access: AdminAccess, *, had_one: bool) -> str:
    """Digest of the administrator's token in *file*; made where there is none, unless by *access*
    another one is accepted: then it is empty.

    *had_one*: one is expected, so log a warning if it is missing.
    """
    if not file.exists():
        if access.digest:
            logger.warning(
                "there is no %s; `edgesync admin-token rotate` makes a new administrator token",
                file,
            )
            return ""
        write_admin_token(file, new_token())
        level = logging.WARNING if had_one else logging.INFO
        logger.log(level, "there was no %s: made an administrator token", file)
    try:
        return digest_of(read_admin_token(file))
    except Invalid as error:
        raise BadSettings(f"{file}: {error.reason}") from error
