"""Nodes that are ready, and the time of the next check of each."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cloud.core.readiness import STALE_AFTER_INTERVALS
from cloud.errors import NotFound
from cloud.store.parts.reporters import REPORTERS
from cloud.store.parts.row_sets import RowSetPart
from cloud.store.rows import Parameters, micros
from cloud.store.statements import set_statement, statement

RECORD_READY = set_statement(
    """
    INSERT INTO ready_node (namespace, name, look) SELECT :namespace, :name, :look {rows}
    ON CONFLICT (namespace, name) DO NOTHING
    """,
    numbers={"look"},
    reads={"node"},
    writes={"ready_node"},
)
ANY_TO_LOOK_AT = statement(
    "SELECT name FROM ready_node WHERE look <= :now LIMIT 1",
    reads={"ready_node"},
)
# A node that was heard since is checked once that is too long ago.
LOOK_LATER = statement(
    """
    UPDATE ready_node SET look = coalesce((
        SELECT :quiet * report_interval + CASE
            WHEN received >= :listening AND received >= coalesce(usage_received, 0) THEN received
            WHEN usage_received >= :listening THEN usage_received
            ELSE :listening END
        FROM report AS own WHERE own.namespace = ready_node.namespace
            AND own.name = ready_node.name
    ), 0) WHERE look <= :now
    """,
    reads={"report"},
    writes={"ready_node"},
)
TAKE_LOST = statement(
    """
    DELETE FROM ready_node WHERE (namespace, name) IN
        (SELECT namespace, name FROM ready_node
            WHERE look <= :now ORDER BY look LIMIT :limit {skip_locked})
    RETURNING namespace, name
    """,
    reads={"node"},
    writes={"ready_node"},
)


class ReadinessPart(RowSetPart):
    """Ready nodes."""

    def record_ready(self, namespace: str, name: str, look: datetime) -> bool:
        """Record that the node is ready; False if it was already. NotFound: no such node.

        It need not be checked before *look*.
        """
        place = namespace, name
        own = self._sets.value(REPORTERS, place)
        if own is None:
            raise NotFound("node", name)
        if own.is_ready:
            return False
        row: Parameters = {"namespace": namespace, "name": name, "look": micros(look)}
        after = msgspec.structs.replace(own, is_ready=True)
        self._sets.put(RECORD_READY, place, row, place=place, becomes={REPORTERS: after})
        return True

    def has_due_checks(self, now: datetime) -> bool:
        """Whether nodes are due to be checked."""
        return bool(self._run(ANY_TO_LOOK_AT, {"now": micros(now)}))

    def postpone_checks(self, now: datetime, listening: datetime) -> None:
        """Postpone the checks of nodes until they have been silent for too long.

        Silence counts from *listening* on, or from when the node was heard, if that is later.
        """
        moments: Parameters = {"now": micros(now), "listening": micros(listening)}
        self._run(LOOK_LATER, {**moments, "quiet": STALE_AFTER_INTERVALS})

    def take_lost(self, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Claim up to *limit* nodes that are due: they are no longer recorded as ready."""
        taken = self._run(TAKE_LOST, {"now": micros(now), "limit": limit})
        return sorted((namespace, name) for namespace, name in taken)
