"""The agent that this server offers to its nodes, signed by its authority.

The signature is by the intermediate itself (docs/decisions/0023-agents-update-themselves.md): no
node has such a certificate, and its key allows to pose as any server and any node anyway.
"""

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from certs.authority import Authority
from cloud.core.audit import DEVICE, Action, Actor, ActorKind, Attempt
from cloud.core.times import time_text
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Denied
from cloud.http.answers import json_response
from cloud.http.peer import PeerCertificate, peer_certificate
from cloud.http.refusals import RefusalLog
from cloud.http.requests import address_of, request_id
from cloud.http.routing import CheckedRoute
from cloud.link.installer import agent_program
from cloud.operations.admission import check_certificate
from cloud.store.transaction import Store

PATH = "/v1/agent"

KIND = "edgesync-agent"
"""The kind of a manifest; no other signature of the authority begins like one."""


class AgentUpdates:
    """Gives the agent to nodes that prove themselves by their certificate."""

    def __init__(
        self,
        store: Store,
        authority: Authority,
        *,
        clock: Callable[[], datetime],
        refusals: RefusalLog,
    ) -> None:
        self._store = store
        self._authority = authority
        self._clock = clock
        self._refusals = refusals
        # Made when it is first asked for; it does not change while the server runs.
        self._program = b""

    def routes(self) -> list[Route]:
        """The path of the activation port."""
        return [CheckedRoute(PATH, self._offer)]

    async def _offer(self, request: Request) -> Response:
        peer, now = peer_certificate(request), self._clock()
        async with self._refusals.recording(_attempt(request, peer, now)):
            if peer is None:
                raise Denied("show the node's certificate in the TLS handshake")
            shown = peer
            await self._store.read(
                lambda tx: check_certificate(tx, shown.node_id, shown.serial, shown.key, now=now)
            )
        self._program = self._program or agent_program()
        manifest = agent_manifest(self._program, now)
        answer = {
            "manifest": manifest,
            "signature": base64.b64encode(self._authority.sign(manifest.encode())).decode(),
            "certificate": self._authority.intermediate_pem,
            "program": base64.b64encode(self._program).decode(),
            "time": time_text(now),
        }
        return json_response(answer)


def agent_manifest(program: bytes, now: datetime) -> str:
    """The signed manifest: a JSON text with the digest of *program* and the time."""
    content = {
        "kind": KIND,
        "sha256": hashlib.sha256(program).hexdigest(),
        "size": len(program),
        "time": time_text(now),
    }
    return msgspec.json.encode(content).decode()


def _attempt(request: Request, peer: PeerCertificate | None, now: datetime) -> Attempt:
    namespace, _, name = peer.node_id.partition(".") if peer else ("", "", "")
    return Attempt(
        Actor(ActorKind.NODE, name, namespace) if peer else DEVICE,
        Action.AGENT_READ,
        now,
        namespace or EVERYWHERE,
        name,
        address_of(request.scope),
        request_id(request),
    )
