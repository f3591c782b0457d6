"""Renewal of a node's certificate: when it is requested, how, and which responses are accepted.

The key stays the same, so that a node can ask on its connection and, when its certificate has ended
and opens no connection any more, on the activation port (docs/protocol.md, "Renewal").
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

import httpx
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from agent_sim.activation import public_bytes, refused, signing_request
from agent_sim.errors import (
    ActivationError,
    ActivationRefused,
    ActivationUnanswered,
    ActivationUnreadable,
)
from agent_sim.state import NodeDirectory, NodeIdentity
from agent_sim.wire import REQUEST_ID, MessageKind, NodeMessage

logger = logging.getLogger(__name__)

PATH = "/v1/renew"
LOOK_EVERY = timedelta(hours=1)
"""How often a node looks whether it is time, at least; clocks are set and machines sleep."""
FAILURES = 3
"""After so many attempts to connect a node tries whether another certificate would help."""


def share(node_id: str) -> float:
    """The node's own part of 1, the same for ever: spreads nodes that were made together."""
    return int.from_bytes(hashlib.sha256(node_id.encode()).digest()[:8]) / 2**64


def renewal_time(node_id: str, begins: datetime, ends: datetime) -> datetime:
    """When the node asks for the next certificate: after two thirds of its life, plus its share."""
    life = ends - begins
    return begins + life * 2 / 3 + life / 10 * share(node_id)


class _RenewedCertificate(msgspec.Struct):
    cert: str
    chain: str


class _Renewed(msgspec.Struct):
    certificate: _RenewedCertificate


def checked(
    content: Any, identity: NodeIdentity, key: ec.EllipticCurvePrivateKey, at: datetime
) -> str:
    """The certificate (PEM) of an answer, if it is one for this node and this key.

    It has to lead to the root that was trusted from the beginning, and to be valid *at* that time,
    which is best the server's. ActivationUnreadable has the reason.
    """
    try:
        given = msgspec.convert(content, _Renewed).certificate
        certificate = x509.load_pem_x509_certificate(given.cert.encode())
        chain = x509.load_pem_x509_certificates(given.chain.encode())
        root = x509.load_pem_x509_certificate(identity.ca.encode())
    except (msgspec.MsgspecError, ValueError) as error:
        raise ActivationUnreadable(str(error)) from error
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [name.value for name in names] != [identity.node_id]:
        raise ActivationUnreadable(f"the certificate is not of {identity.node_id}")
    if public_bytes(certificate.public_key()) != public_bytes(key.public_key()):
        raise ActivationUnreadable("the certificate is of another key")
    verifier = PolicyBuilder().store(Store([root])).time(at).build_client_verifier()
    try:
        verifier.verify(certificate, chain)
    except VerificationError as error:
        raise ActivationUnreadable(f"the certificate cannot be verified: {error}") from error
    return given.cert


async def renew_by_key(
    client: httpx.AsyncClient, identity: NodeIdentity, key: ec.EllipticCurvePrivateKey
) -> dict[str, Any]:
    """Ask on the activation port, proved by the key alone; the answer, unread."""
    body = {"csr": signing_request(key, identity.node_id), "certificate": identity.certificate}
    try:
        response = await client.post(PATH, json=body)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise ActivationUnanswered(str(client.base_url), reason) from error
    if response.status_code != httpx.codes.OK:
        raise refused(response)
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError) as error:
        raise ActivationUnreadable(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """Seconds between attempts: the first, the longest, and how long an MQTT answer may take."""

    first: float = 60.0
    longest: float = 3600.0
    patience: float = 30.0


class Renewer:
    """Owns the renewal of one node; the agent reports the state of the connection to it."""

    def __init__(
        self,
        directory: NodeDirectory,
        client: httpx.AsyncClient,
        turn: asyncio.Semaphore,
        *,
        publish: Callable[[NodeMessage], bool],
        on_renewed: Callable[[], None],
        pauses: Pauses,
        clock: Callable[[], datetime],
        random: Random,
    ) -> None:
        self._directory = directory
        self._client = client
        self._turn = turn
        self._publish = publish
        self._on_renewed = on_renewed
        self._pauses = pauses
        self._clock = clock
        self._random = random
        self._skew = timedelta()  # the server's clock minus ours, known after a renewal
        self._failures = 0  # attempts to connect since the last that worked
        self._may_help = True  # another certificate, where connecting fails
        self._wake = asyncio.Event()
        self._answer: asyncio.Future[NodeMessage] | None = None
        self._questions = 0

    def connected(self) -> None:
        """There is a connection."""
        self._failures = 0
        self._may_help = True
        self._wake.set()

    def failed(self) -> None:
        """An attempt to connect has failed, or a connection was lost at once."""
        self._failures += 1
        self._wake.set()

    def answered(self, message: NodeMessage) -> None:
        """A message on `renew-response` has arrived."""
        mine = message.meta.get(REQUEST_ID) == str(self._questions)
        if mine and self._answer is not None and not self._answer.done():
            self._answer.set_result(message)

    async def run(self, identity: NodeIdentity) -> None:
        """Renew whenever it is time, until cancelled; *identity* is the one of the start."""
        pause = 0.0
        while True:
            begins, ends = _validity(identity)
            due = renewal_time(identity.node_id, begins, ends)
            while self._now() < due and not (self._failures >= FAILURES and self._may_help):
                await self._sleep((due - self._now()).total_seconds())
            try:
                identity = await self._renew(identity, has_ended=self._now() >= ends)
            except ActivationError as error:
                pause = min(pause * 2 or self._pauses.first, self._pauses.longest)
                logger.warning("%s not renewed: %s", identity.node_id, error)
            else:
                pause, self._may_help = 0.0, not self._failures
                logger.info("%s has its next certificate", identity.node_id)
                self._on_renewed()
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))

    def _now(self) -> datetime:
        """The time by the server's clock, as far as that is known: certificates go by it."""
        return self._clock() + self._skew

    async def _sleep(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(min(seconds, LOOK_EVERY.total_seconds())):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _renew(self, identity: NodeIdentity, *, has_ended: bool) -> NodeIdentity:
        key = await asyncio.to_thread(self._directory.key)
        content = None
        if not self._failures and not has_ended:
            content = await self._ask_over_mqtt(signing_request(key, identity.node_id))
        if content is None:
            async with self._turn:
                content = await renew_by_key(self._client, identity, key)
        server_time = _server_time(content)
        if server_time is not None:
            self._skew = server_time - self._clock()
        certificate = checked(content, identity, key, self._now())
        await asyncio.to_thread(self._directory.save_renewed, certificate)
        await asyncio.to_thread(self._directory.renew_sealing_key, self._now())
        return NodeIdentity(identity.node_id, certificate, identity.ca)

    async def _ask_over_mqtt(self, csr: str) -> dict[str, Any] | None:
        """Content of the answer, with the server's time in it; None if there is no good one."""
        self._questions += 1
        self._answer = asyncio.get_running_loop().create_future()
        meta = {REQUEST_ID: str(self._questions)}
        if not self._publish(NodeMessage(MessageKind.RENEW, {"csr": csr}, meta)):
            return None
        try:
            async with asyncio.timeout(self._pauses.patience):
                message = await self._answer
        except TimeoutError:
            return None
        if message.kind != MessageKind.RENEW or not isinstance(message.content, dict):
            code = str(message.meta.get("code", ""))
            raise ActivationRefused(0, code, str(message.content))
        return {**message.content, "time": message.meta.get("time")}


def _validity(identity: NodeIdentity) -> tuple[datetime, datetime]:
    certificate = x509.load_pem_x509_certificate(identity.certificate.encode())
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _server_time(content: Mapping[str, Any]) -> datetime | None:
    """Time of the response by the server's clock."""
    try:
        time = datetime.fromisoformat(str(content.get("time")))
    except ValueError:
        return None
    return time if time.tzinfo else None
