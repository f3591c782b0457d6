"""Connections that the hub refuses, for the log and the audit log."""

from collections.abc import Callable
from datetime import datetime

from broker.hub import RefusedConnection
from broker.limits import Refusal
from cloud.core.audit import Action, Actor, ActorKind, Attempt
from cloud.errors import Denied
from cloud.http.refusals import RefusalLog

WRITING_LIMIT = 100
"""Refusals that wait for the store at the same time; beyond it they are left out."""


class RefusedConnections:
    """Writes each refused connection down, with its node and the reason, as *refusals* bounds it.

    What the gate refuses it writes itself.
    """

    def __init__(self, refusals: RefusalLog, clock: Callable[[], datetime]) -> None:
        self._refusals = refusals
        self._clock = clock
        self._writing = 0

    async def record(self, refused: RefusedConnection) -> None:
        """Write *refused* down."""
        if refused.reason is Refusal.GATE or self._writing >= WRITING_LIMIT:
            return
        self._writing += 1
        now = self._clock()
        try:
            if not refused.node_id:
                await self._refusals.record_handshake(refused.address, refused.detail, now)
                return
            attempt = connect_attempt(refused.node_id, refused.address, now)
            await self._refusals.record(attempt, Denied(refused.detail))
        finally:
            self._writing -= 1


def connect_attempt(node_id: str, address: str, now: datetime) -> Attempt:
    """The audit entry of a refused connection."""
    namespace, _, name = node_id.partition(".")
    actor = Actor(ActorKind.NODE, name, namespace)
    return Attempt(actor, Action.NODE_CONNECT, now, namespace, name, address)
