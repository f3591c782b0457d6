"""Renewal, over MQTT and over HTTPS on the activation port (docs/protocol.md, "Renewal").

The name in the new certificate is that of the identity that was proved: by the MQTT connection, by
the certificate shown in the TLS handshake, or, where that certificate has ended and no handshake
takes it any more, by the signature of its key under the signing request. What a signing request
has as names is never looked at.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from cryptography import x509
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.messages import Message
from certs.authority import Authority
from certs.keys import PublicKey, key_digest
from cloud.core.audit import DEVICE, Action, Actor, ActorKind, Attempt
from cloud.core.decoding import convert
from cloud.core.times import time_text
from cloud.core.tokens import EVERYWHERE
from cloud.errors import CloudError, Invalid, TooManyRequests, Unavailable
from cloud.http.answers import json_response
from cloud.http.peer import PeerCertificate, peer_certificate
from cloud.http.refusals import RefusalLog
from cloud.http.requests import address_key_of, address_of, read_json, request_id
from cloud.http.routing import CheckedRoute
from cloud.link.certificate import certificate_map, requested_key
from cloud.link.measures import Measures
from cloud.link.wire import Meta, renewal_answer
from cloud.operations.activation import ActivatingDevice, Activation
from cloud.operations.audit import carry_out, refuse
from cloud.operations.renewal import come_back, renew, renew_shown, returning_node
from cloud.store.transaction import Store, Transaction

PATH = "/v1/renew"

BODY_LIMIT = 64 * 1024
"""Bytes of a request (docs/protocol.md, "Limits")."""

Renew = Callable[..., Callable[[Transaction], Message]]
"""`Renewals.over_mqtt`."""


def cannot_renew(*_: Any, **__: Any) -> Callable[[Transaction], Message]:
    """Refuse, where there is no authority."""
    raise Invalid("kind", "nothing is renewed here")


class _Question(msgspec.Struct, frozen=True):
    """The request of a node; *certificate* only where its connection has no client certificate."""

    csr: str
    certificate: str = ""


class Renewals:
    """Renews certificates for who proves to be a node; *count* may refuse to, by raising."""

    def __init__(
        self,
        store: Store,
        authority: Authority,
        *,
        clock: Callable[[], datetime],
        new_serial: Callable[[], int],
        grace: timedelta,
        count: Callable[[str], None],
        refusals: RefusalLog,
        measures: Measures | None = None,
    ) -> None:
        self._store = store
        self._authority = authority
        self._clock = clock
        self._new_serial = new_serial
        self._grace = grace
        self._count = count
        self._refusals = refusals
        self._measures = measures or Measures()

    def routes(self) -> list[Route]:
        """The paths of the activation port."""
        return [CheckedRoute(PATH, self._over_https, methods=["POST"])]

    def over_mqtt(
        self, node_id: str, content: Any, now: datetime, *, meta: Meta
    ) -> Callable[[Transaction], Message]:
        """The response to a renew message of the node; Invalid names what is wrong."""
        attempt = _attempt(node_id, now)
        try:
            self._count(node_id)
        except TooManyRequests as error:
            return self._refusing(attempt, error)
        question = convert(content, _Question, under="content")
        device = _device(requested_key(question.csr, field="content.csr"), "")
        serial = self._new_serial()

        def work(tx: Transaction) -> Message:
            try:
                renewed = carry_out(
                    tx,
                    attempt,
                    lambda tx: renew(tx, self._authority, node_id, device, now=now, serial=serial),
                )
            except Unavailable:
                raise
            except CloudError as error:
                # How often a node asks is counted already.
                refuse(tx, attempt, error)
                raise
            return renewal_answer(self._answer(renewed), now, meta=meta)

        return work

    def _refusing(self, attempt: Attempt, error: CloudError) -> Callable[[Transaction], Message]:
        left_out = self._refusals.turn(attempt)

        def work(tx: Transaction) -> Message:
            if left_out is not None:
                refuse(tx, attempt, error, left_out=left_out)
            raise error

        return work

    async def renew_shown(
        self, request: Request, peer: PeerCertificate, key: PublicKey
    ) -> Activation:
        """Certify *key* for the node of *peer*; errors as of the operation."""
        with self._measures.renewal():
            return await self._renew_shown(request, peer, key)

    async def _renew_shown(
        self, request: Request, peer: PeerCertificate, key: PublicKey
    ) -> Activation:
        authority, now, serial = self._authority, self._clock(), self._new_serial()
        device = _device(key, address_of(request.scope))
        node_id, shown = peer.node_id, (peer.serial, peer.key)
        return await self._renewed(
            _attempt(node_id, now, request),
            node_id,
            lambda tx: renew_shown(tx, authority, node_id, shown, device, now=now, serial=serial),
        )

    async def _come_back(self, request: Request, ended: int, key: PublicKey) -> Activation:
        authority, now, serial = self._authority, self._clock(), self._new_serial()
        device, grace = _device(key, address_of(request.scope)), self._grace
        async with self._refusals.recording(_attempt("", now, request)):
            node_id = await self._store.read(
                lambda tx: returning_node(tx, ended, device.key_digest, grace=grace, now=now)
            )
        # A signing request can be replayed; that must not use up the rate limit of the node.
        return await self._renewed(
            _attempt(node_id, now, request),
            f"{node_id} from {address_key_of(request.scope)}",
            lambda tx: come_back(tx, authority, ended, device, grace=grace, now=now, serial=serial),
        )

    async def _renewed(
        self, attempt: Attempt, counted: str, work: Callable[[Transaction], Activation]
    ) -> Activation:
        async with self._refusals.recording(attempt):
            self._count(counted)
            return await self._store.write(lambda tx: carry_out(tx, attempt, work))

    async def _over_https(self, request: Request) -> Response:
        question = await read_json(request, _Question, limit=BODY_LIMIT)
        key = requested_key(question.csr, field="csr")
        peer = peer_certificate(request)
        if peer is not None:
            renewed = await self.renew_shown(request, peer, key)
        else:
            with self._measures.renewal():
                renewed = await self._come_back(request, _serial_of(question.certificate), key)
        return json_response({**self._answer(renewed), "time": time_text(self._clock())})

    def _answer(self, renewed: Activation) -> dict[str, Any]:
        return {
            "nodeName": renewed.node_name,
            "namespace": renewed.namespace,
            "certificate": certificate_map(renewed, self._authority.root_pem),
        }


def _attempt(node_id: str, now: datetime, request: Request | None = None) -> Attempt:
    """The audit entry of a renewal; *node_id* is empty if unknown."""
    namespace, _, name = node_id.partition(".")
    return Attempt(
        Actor(ActorKind.NODE, name, namespace) if node_id else DEVICE,
        Action.CERTIFICATE_RENEW,
        now,
        namespace or EVERYWHERE,
        name,
        address_of(request.scope) if request else "",
        request_id(request) if request else "",
    )


def _device(key: PublicKey, address: str) -> ActivatingDevice:
    return ActivatingDevice(key, key_digest(key), address)


def _serial_of(pem: str) -> int:
    if not pem:
        raise Invalid("certificate", "missing, and the connection showed none")
    try:
        return x509.load_pem_x509_certificate(pem.encode()).serial_number
    except (ValueError, x509.InvalidVersion) as error:
        raise Invalid("certificate", "is not a certificate in PEM") from error
