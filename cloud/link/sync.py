"""The HTTPS link of stock Baetyl agents: report and desire, each a request of its own.

Bodies are bare, without the envelope; who sends them is said by the client certificate, which is
looked at again with each request, in the transaction that carries it out.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.errors import MalformedMessage
from broker.messages import SOURCE, Encoding, Kind, Message, decode_content, encode_json
from broker.topics import Channel
from cloud.core.audit import DEVICE, Action, Actor, ActorKind, Attempt
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Denied, Invalid, NotFound, TooManyRequests
from cloud.http.answers import json_text_response
from cloud.http.app import http_app
from cloud.http.limits import UNLIMITED, Limiter
from cloud.http.peer import PeerCertificate, peer_certificate
from cloud.http.refusals import RefusalLog
from cloud.http.requests import address_of, read_body, request_id
from cloud.link.exchange import Exchange, Question
from cloud.operations.admission import bind_key, check_certificate, needs_key
from cloud.store.interface import Transaction

BODY_LIMIT = 1024 * 1024
"""Bytes of a body, as many as an MQTT packet may have (docs/protocol.md, "Limits")."""

PATHS: Mapping[str, tuple[Channel, Kind]] = {
    "/v1/sync/report": (Channel.REPORT, Kind.REPORT),
    "/v1/sync/desire": (Channel.DESIRE, Kind.DESIRE),
}

_META = (SOURCE,)
"""Headers that say of a message what `meta` says in an envelope."""


def sync_app(
    exchange: Exchange,
    *,
    new_id: Callable[[], str],
    refusals: RefusalLog,
    limiter: Limiter = UNLIMITED,
) -> Starlette:
    """The link over HTTPS, behind a listener that requires the certificate of a node.

    *limiter* counts the requests of each node; who is not let in goes into *refusals*.
    """

    async def answer(request: Request, channel: Channel, kind: Kind) -> Response:
        peer = peer_certificate(request)
        now = exchange.clock()
        try:
            shown = _of_a_node(peer)
            with exchange.measures.request(channel):
                limiter.take(shown.node_id)
                message = await _read_message(request, kind)
                question = exchange.read(shown.node_id, channel, message, Encoding.JSON, now)
                _only_if_admitted(question, shown, now)
                told = await exchange.ask(question)
        except (Denied, TooManyRequests, NotFound) as error:
            if not isinstance(error, NotFound) or error.kind == "node":
                await refusals.note(_attempt(request, peer, now), error)
            raise
        return json_text_response(encode_json(told.content if told else None))

    routes = [
        Route(path, partial(answer, channel=channel, kind=kind), methods=["POST"])
        for path, (channel, kind) in PATHS.items()
    ]
    return http_app(routes, new_id=new_id, metrics=exchange.measures.metrics, listener="sync")


def _of_a_node(peer: PeerCertificate | None) -> PeerCertificate:
    if peer is None:
        raise Denied("a client certificate of a node is needed")
    return peer


def _attempt(request: Request, peer: PeerCertificate | None, now: datetime) -> Attempt:
    """What the audit log says of a request that is refused because of who sent it."""
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


async def _read_message(request: Request, kind: Kind) -> Message:
    """What an envelope would hold: agents send its parts as headers and body."""
    body = await read_body(request, BODY_LIMIT)
    try:
        content = decode_content(body)
    except MalformedMessage as error:
        raise Invalid("", error.reason) from error
    meta = {name: request.headers[name] for name in _META if name in request.headers}
    return Message(request.headers.get("kind", kind.value), content, meta)


def _only_if_admitted(question: Question, peer: PeerCertificate, now: datetime) -> None:
    """Let *question* be carried out only while the certificate of *peer* opens the door."""
    binds = question.channel is Channel.REPORT  # other work only reads

    def check(tx: Transaction) -> None:
        check_certificate(tx, peer.node_id, peer.serial, peer.key, now=now)
        if binds and needs_key(tx, peer.serial):
            bind_key(tx, peer.serial, peer.key)

    question.require(check)
