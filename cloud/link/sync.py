"""The HTTPS link of stock Baetyl agents: report and desire, each a request of its own.

Bodies are bare, without the envelope; the client certificate identifies the node, and is
looked at again with each request, in the transaction that carries it out.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from broker.errors import MalformedMessage
from broker.messages import SOURCE, Encoding, Message, NodeMessageKind, decode_content, encode_json
from broker.node_budgets import NodeBudgets
from broker.topics import Channel
from cloud.core.audit import DEVICE, Action, Actor, ActorKind, Attempt
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Denied, Invalid, NotFound, OverBudget, TooManyRequests
from cloud.http.app import http_app
from cloud.http.peer import PeerCertificate, peer_certificate
from cloud.http.refusals import RefusalLog
from cloud.http.requests import address_of, read_body, request_id
from cloud.http.routing import CheckedRoute
from cloud.link.byte_budget import ByteBudget, CountedResponse
from cloud.link.exchange import LONG_BYTES, Exchange, NodeRequest
from cloud.link.unread_secrets import once_read, or_unread
from cloud.operations.admission import bind_key, check_certificate, needs_key
from cloud.store.transaction import Transaction

BODY_LIMIT = 1024 * 1024
"""Bytes of a body, as many as an MQTT packet may have (docs/protocol.md, "Limits")."""

UNSTORED_LIMIT = 64 * 1024 * 1024
"""Bytes of bodies that were read and not carried out yet, of all nodes."""

ANSWERS_LIMIT = 128 * 1024 * 1024
"""Bytes of answers that wait for nodes to read them, of all nodes."""

LONG_AT_ONCE = 4
"""Long bodies that are carried out at the same time: decoded, one takes up to 8 MiB more."""

ANSWERS_AT_ONCE = 4
"""Answers to desires that are made at the same time: each may be as long as an answer can be."""

PATHS: Mapping[str, tuple[Channel, NodeMessageKind]] = {
    "/v1/sync/report": (Channel.REPORT, NodeMessageKind.REPORT),
    "/v1/sync/desire": (Channel.DESIRE, NodeMessageKind.DESIRE),
}

_META = (SOURCE,)
"""Headers for the fields of `meta` in an envelope."""


def sync_app(
    exchange: Exchange,
    *,
    new_id: Callable[[], str],
    refusals: RefusalLog,
    budgets: NodeBudgets | None = None,
    bodies_limit: int = UNSTORED_LIMIT,
    answers_limit: int = ANSWERS_LIMIT,
) -> Starlette:
    """The link over HTTPS, behind a listener that requires the certificate of a node.

    *budgets* counts the requests of each node and their bytes; what is refused because of its
    sender goes into *refusals*. At most *bodies_limit* bytes of bodies wait to be carried out, and
    *answers_limit* bytes of answers to be read.
    """
    limits = exchange.measures.metrics.limits
    limits.declare("node_budget", "unstored_bodies", "unread_answers")
    budgets = budgets or NodeBudgets(0, 0)
    bodies = ByteBudget(bodies_limit, lambda: limits.count("unstored_bodies"))
    answers = ByteBudget(answers_limit, lambda: limits.count("unread_answers"))
    making = asyncio.Semaphore(ANSWERS_AT_ONCE)
    reading = asyncio.Semaphore(LONG_AT_ONCE)

    def spend(node_id: str) -> None:
        if wait := budgets.wait(node_id):
            limits.count("node_budget")
            raise OverBudget(wait)

    async def answered(question: NodeRequest) -> Response:
        async with making if question.channel is Channel.DESIRE else contextlib.nullcontext():
            message = await exchange.ask(question.reopened())
            return CountedResponse(encode_json(message.content if message else None), answers)

    async def answer(request: Request, channel: Channel, kind: NodeMessageKind) -> Response:
        peer = peer_certificate(request)
        now = exchange.clock()
        try:
            shown = _of_a_node(peer)
            with exchange.measures.request(channel):
                spend(shown.node_id)
                body = await read_body(request, BODY_LIMIT)
                spend(shown.node_id)  # again: other requests of the node were read meanwhile
                budgets.charge(shown.node_id, len(body))

                def read() -> NodeRequest:
                    message = _message(request, body, kind)
                    return exchange.read(shown.node_id, channel, message, Encoding.JSON, now)

                is_long = len(body) >= LONG_BYTES
                with bodies.holding(len(body)):
                    async with reading if is_long else contextlib.nullcontext():
                        # Others are served while a long one is read.
                        question = await asyncio.to_thread(read) if is_long else read()
                        _only_if_admitted(question, shown, now)
                        first = await or_unread(answered(question))
                # Nothing that others need is held while secrets are read.
                return await once_read(first, lambda: answered(question), exchange.read_secrets)
        except (Denied, TooManyRequests, NotFound) as error:
            if not isinstance(error, NotFound) or error.kind == "node":
                await refusals.record(_attempt(request, peer, now), error)
            raise

    routes = [
        CheckedRoute(path, partial(answer, channel=channel, kind=kind), methods=["POST"])
        for path, (channel, kind) in PATHS.items()
    ]
    return http_app(routes, new_id=new_id, metrics=exchange.measures.metrics, listener="sync")


def _of_a_node(peer: PeerCertificate | None) -> PeerCertificate:
    if peer is None:
        raise Denied("a client certificate of a node is needed")
    return peer


def _attempt(request: Request, peer: PeerCertificate | None, now: datetime) -> Attempt:
    """The audit entry of a request that is refused because of its certificate."""
    namespace, _, name = (peer.node_id if peer else "").partition(".")
    return Attempt(
        Actor(ActorKind.NODE, name, namespace) if peer else DEVICE,
        Action.NODE_CONNECT,
        now,
        namespace or EVERYWHERE,
        name,
        address_of(request.scope),
        request_id(request),
    )


def _message(request: Request, body: bytes, kind: NodeMessageKind) -> Message:
    """The parts of an envelope, which agents send as headers and body."""
    try:
        content = decode_content(body)
    except MalformedMessage as error:
        raise Invalid("", error.reason) from error
    meta = {name: request.headers[name] for name in _META if name in request.headers}
    return Message(request.headers.get("kind", kind.value), content, meta)


def _only_if_admitted(question: NodeRequest, peer: PeerCertificate, now: datetime) -> None:
    """Let *question* be carried out only while the certificate of *peer* opens the door."""
    binds = question.channel is Channel.REPORT  # other work only reads

    def check(tx: Transaction) -> None:
        check_certificate(tx, peer.node_id, peer.serial, peer.key, now=now)
        if binds and needs_key(tx, peer.serial):
            bind_key(tx, peer.serial, peer.key)

    question.require(check)
