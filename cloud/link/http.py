"""The activation port: calls of devices without a certificate, or with one that has expired."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from certs.keys import key_digest, key_pem, new_private_key
from cloud.core.audit import DEVICE, Action, Attempt
from cloud.core.decoding import check_text
from cloud.core.encryption_key import FIELD
from cloud.core.installation import AGENT_PATH, INSTALLER_PATH
from cloud.core.names import check_namespace
from cloud.core.times import time_text
from cloud.errors import Invalid
from cloud.http.answers import bytes_response, json_response
from cloud.http.app import http_app
from cloud.http.limits import AddressGate, Limiter
from cloud.http.refusals import RefusalLog
from cloud.http.requests import address_key_of, address_of, read_json, request_id
from cloud.http.routing import CheckedRoute
from cloud.link.activation_throttle import ActivationThrottle
from cloud.link.agent_updates import AgentUpdates
from cloud.link.certificate import certificate_map, requested_key
from cloud.link.est import SigningRequest, est_routes
from cloud.link.installer import ServerAddress, agent_program, installer_script
from cloud.link.measures import Measures
from cloud.link.renewal import Renewals
from cloud.link.services import LinkServices
from cloud.operations.activation import (
    ActivatingDevice,
    Activation,
    Claim,
    activate,
    expect_devices,
)
from cloud.operations.audit import carry_out
from cloud.operations.encryption_keys import check_own_key
from cloud.operations.installation import install_target, offered
from cloud.store.group_commit import GroupWriter
from cloud.store.transaction import Transaction

BODY_LIMIT = 64 * 1024
"""Bytes of an activation request (docs/protocol.md, "Limits")."""


def activation_app(
    services: LinkServices,
    *,
    server_generated_keys: bool,
    address: ServerAddress,
    public: Sequence[Route],
    limiter: Limiter,
    throttle: ActivationThrottle,
    renewals: Renewals,
) -> Starlette:
    """The activation port: `/v1/active`, renewals, EST, installer and agent.

    Takes client certificates and requires none. *address* is where the installer has nodes
    connect. *limiter* limits requests by address, *throttle* failed activations. *public* are
    further routes without authentication.
    """

    together = GroupWriter(services.store, expect_devices)
    services.measures.metrics.limits.add_source(lambda: {"unproven_refusals": throttle.omitted})

    async def active(request: Request) -> Response:
        claim = await read_json(request, Claim, limit=BODY_LIMIT)
        attempt = attempt_of(request, claim)
        async with _trying(attempt, services.refusals, services.measures):
            async with token_first(request, attempt, claim):
                public_key, private_pem = _key_of(
                    claim, server_generated_keys=server_generated_keys
                )
            activation = await activated(
                request, attempt, claim, public_key, is_given_key=bool(private_pem)
            )
        return json_response(
            _answer(activation, services.authority.root_pem, private_pem, services.clock())
        )

    async def enrol(request: Request, claim: Claim, csr: SigningRequest) -> Activation:
        with services.measures.activation():
            attempt = attempt_of(request, claim)
            async with services.refusals.recording(attempt), token_first(request, attempt, claim):
                key, claim = csr.read(claim)
            attempt = attempt_of(request, claim)
            async with services.refusals.recording(attempt):
                return await activated(request, attempt, claim, key)

    def token_first(
        request: Request, attempt: Attempt, claim: Claim
    ) -> AbstractAsyncContextManager[None]:
        there = _in_namespace(claim, services.default_namespace)
        return throttle.token_first(there, address_key_of(request.scope), attempt.time)

    def attempt_of(request: Request, claim: Claim) -> Attempt:
        name = "/".join(part for part in (claim.batch_name, claim.fingerprint_value) if part)
        return Attempt(
            DEVICE,
            Action.RECORD_ACTIVATE,
            services.clock(),
            claim.namespace or services.default_namespace,
            name,
            address_of(request.scope),
            request_id(request),
        )

    async def activated(
        request: Request,
        attempt: Attempt,
        claim: Claim,
        public_key: Any,
        *,
        is_given_key: bool = False,
    ) -> Activation:
        claim = _in_namespace(claim, services.default_namespace)
        check_text("batchName", claim.batch_name)
        check_text("fingerprintValue", claim.fingerprint_value)
        now, serial, delivery_id = attempt.time, services.new_serial(), services.new_id()
        digest = key_digest(public_key)
        device = ActivatingDevice(public_key, digest, attempt.address, is_given_key=is_given_key)

        def work(tx: Transaction) -> Activation:
            return activate(
                tx,
                services.authority,
                claim,
                device,
                now=now,
                serial=serial,
                delivery_id=delivery_id,
            )

        async with throttle.watching(claim, device, address_key_of(request.scope)):
            activation = await together.write(
                lambda tx: carry_out(tx, attempt, work, named=lambda made: made.node_name),
                subject=claim,
            )
        if activation.has_replaced:
            services.disconnect(activation.node_id)
        if activation.has_callback:
            services.wake_callbacks()
        return activation

    def noting(request: Request, claim: Claim) -> AbstractAsyncContextManager[None]:
        return services.refusals.recording(attempt_of(request, claim))

    routes: list[Route] = [
        CheckedRoute(path, active, methods=["POST"]) for path in ("/v1/active", "/v1/active/")
    ]
    routes += _downloads(services, address)
    routes += AgentUpdates(
        services.store, services.authority, clock=services.clock, refusals=services.refusals
    ).routes()
    routes += [*renewals.routes(), *est_routes(services.authority, renewals, enrol, noting)]
    return http_app(
        [*routes, *public],
        new_id=services.new_id,
        trusted_proxies=services.trusted_proxies,
        middleware=[Middleware(AddressGate, limiter=limiter)],
        clock=services.clock,
        metrics=services.measures.metrics,
        listener="activation",
    )


def _downloads(services: LinkServices, address: ServerAddress) -> list[Route]:
    """The installer and the agent, for callers with an installation token."""
    store, clock, refusals = services.store, services.clock, services.refusals

    def noting(request: Request, now: datetime) -> AbstractAsyncContextManager[None]:
        caller = address_of(request.scope)
        action = Action.INSTALLER_READ
        return refusals.recording(
            Attempt(DEVICE, action, now, address=caller, request_id=request_id(request))
        )

    async def installer(request: Request) -> Response:
        token, now = request.query_params.get("token", ""), clock()
        async with noting(request, now):
            target = await store.read(lambda tx: install_target(tx, token, now=now))
        return bytes_response(installer_script(address, token, target))

    async def agent(request: Request) -> Response:
        token, now = request.query_params.get("token", ""), clock()
        async with noting(request, now):
            await store.read(lambda tx: offered(tx, token, now=now))
        return bytes_response(agent_program())

    return [
        CheckedRoute(path, answer, known=("token",))
        for path, answer in ((INSTALLER_PATH, installer), (AGENT_PATH, agent))
    ]


@contextlib.asynccontextmanager
async def _trying(
    attempt: Attempt, refusals: RefusalLog, measures: Measures
) -> AsyncIterator[None]:
    """Count what the block comes to, and write it down if it is refused."""
    with measures.activation():
        async with refusals.recording(attempt):
            yield


def _in_namespace(claim: Claim, default: str) -> Claim:
    namespace = check_namespace("namespace", claim.namespace) if claim.namespace else default
    return msgspec.structs.replace(claim, namespace=namespace)


def _key_of(claim: Claim, *, server_generated_keys: bool) -> tuple[Any, str]:
    """The key to certify, and its private half as PEM if it was made here ("" otherwise)."""
    if claim.csr:
        key = requested_key(claim.csr, field="csr")
        if claim.encryption_key is not None:
            check_own_key(claim.encryption_key, key_digest(key))
        return key, ""
    if claim.encryption_key is not None:
        raise Invalid(FIELD, "is not proved: there is no signing request")
    if not server_generated_keys:
        raise Invalid("csr", "is missing; this server makes no keys for devices")
    private = new_private_key()
    return private.public_key(), key_pem(private).decode()


def _answer(
    activation: Activation, root_pem: str, private_pem: str, now: datetime
) -> dict[str, Any]:
    """Activation as docs/protocol.md shows it; the certificate under both names agents read."""
    certificate = certificate_map(activation, root_pem, private_pem=private_pem)
    return {
        "nodeName": activation.node_name,
        "namespace": activation.namespace,
        "certificate": certificate,
        "mqttCert": certificate,
        "time": time_text(now),
    }
