"""Nodes whose desired state has to be sent again: the queue of the pusher."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from cloud.core.node import Node
from cloud.core.plan import Reach
from cloud.core.readiness import STALE_AFTER_INTERVALS
from cloud.core.selectors import Selector, parse_selector
from cloud.store.node_selection import NodeSelection
from cloud.store.parts.part import NOTHING, Run
from cloud.store.parts.row_sets import RowSetPart
from cloud.store.rows import Parameters, micros
from cloud.store.sealing import Sealer
from cloud.store.selection import NODE, Selection
from cloud.store.statements import fragment, set_statement, statement

MARK_PENDING = set_statement(
    """
    INSERT INTO stale_node (namespace, name) SELECT :namespace, :name {rows}
    AND EXISTS (SELECT 1 FROM node WHERE node.namespace = :namespace AND node.name = :name)
    ON CONFLICT (namespace, name) DO NOTHING
    """,
    reads={"node"},
    writes={"stale_node"},
)
IS_PENDING = statement(
    "SELECT 1 FROM stale_node WHERE namespace = :namespace AND name = :name",
    reads={"stale_node"},
)
TAKE_PENDING = statement(
    """
    DELETE FROM stale_node WHERE (namespace, name) IN
        (SELECT namespace, name FROM stale_node ORDER BY namespace,
            name LIMIT :limit {skip_locked})
    RETURNING namespace, name
    """,
    reads={"node"},
    writes={"stale_node"},
)
ANY_PENDING = statement("SELECT name FROM stale_node LIMIT 1", reads={"stale_node"})
HOLD_PENDING = statement(
    "DELETE FROM stale_node WHERE namespace = :namespace RETURNING name",
    reads={"node"},
    writes={"stale_node"},
)
# Each name is looked up; the other way round 10,000 of 10,000 nodes take 20 seconds.
RESTORE_PENDING = statement(
    """
    INSERT INTO stale_node (namespace, name)
    SELECT node.namespace, node.name FROM {elements[names]}
    CROSS JOIN node WHERE node.namespace = :namespace AND node.name = given.value
    ON CONFLICT (namespace, name) DO NOTHING
    """,
    reads={"node"},
    writes={"stale_node"},
)
PENDING_REACH = statement(
    """
    SELECT count(*), coalesce(sum(CASE
            WHEN report.received IS NOT NULL AND :now - CASE
                WHEN report.usage_received > report.received THEN report.usage_received
                ELSE report.received END < :quiet * report.report_interval
            THEN 0 ELSE 1 END), 0),
        (SELECT count(*) FROM node WHERE namespace = :namespace)
    FROM stale_node
    LEFT JOIN report ON report.namespace = stale_node.namespace AND report.name = stale_node.name
    WHERE stale_node.namespace = :namespace
    """,
    reads={"node", "report", "stale_node"},
)
SOME_PENDING = statement(
    """
    SELECT name FROM stale_node WHERE namespace = :namespace ORDER BY name LIMIT :limit
    """,
    reads={"stale_node"},
)
COUNT_WAITING = statement(
    """
    SELECT (SELECT count(*) FROM stale_node), (SELECT count(*) FROM delivery WHERE due IS NOT NULL),
        (SELECT count(*) FROM message WHERE due IS NOT NULL)
    """,
    reads={"delivery", "message", "stale_node"},
)
COUNT_WAITING_IN = statement(
    """
    SELECT (SELECT count(*) FROM stale_node WHERE namespace = :namespace),
        (SELECT count(*) FROM delivery WHERE namespace = :namespace AND due IS NOT NULL),
        (SELECT count(*) FROM message WHERE namespace = :namespace AND due IS NOT NULL)
    """,
    reads={"delivery", "message", "stale_node"},
)


AWAITS_UPDATE = fragment(
    """{exists} (SELECT 1 FROM stale_node AS own WHERE own.namespace = :namespace
AND own.name = place.name)""",
    reads={"stale_node"},
)


@dataclass(frozen=True, slots=True)
class PendingCounts:
    """How many nodes have updates pending; deliveries of callbacks, messages of channels."""

    nodes: int
    deliveries: int
    messages: int = 0


class PendingPart(RowSetPart):
    """Pending nodes."""

    def __init__(self, run: Run, sealer: Sealer) -> None:
        super().__init__(run, sealer)
        # Whether there may be more pending nodes after the commit.
        self.marked_pending = False

    def mark_pending(self, nodes: Iterable[Node]) -> None:
        """Queue updates for these nodes; wakes the pusher after the commit.

        Nodes that are not there are left out.
        """
        for node in nodes:
            row: Parameters = {"namespace": node.namespace, "name": node.name}
            self._sets.put(MARK_PENDING, (node.namespace, node.name), row)
            self.marked_pending = True

    def mark_selected_pending(self, namespace: str, selector: Selector) -> None:
        """As `mark_pending`, for the nodes that *selector* is satisfied by; without terms: none."""
        if selector:
            Selection(self._run, NODE, namespace, selector).mark_pending()
            self.marked_pending = True

    def mark_names_pending(self, namespace: str, names: Sequence[str]) -> None:
        """As `mark_pending`, for the nodes of these *names*."""
        if names:
            self.restore_pending(namespace, sorted(names))
            self.marked_pending = True

    def is_pending(self, namespace: str, name: str) -> bool:
        """Whether an update is pending for the node."""
        return bool(self._run(IS_PENDING, {"namespace": namespace, "name": name}))

    def take_pending(self, limit: int) -> Sequence[tuple[str, str]]:
        """Claim up to *limit* pending nodes (namespace, name); no two callers get the same."""
        taken = self._run(TAKE_PENDING, {"limit": max(limit, 0)})
        return [(namespace, name) for namespace, name in taken]

    def hold_pending(self, namespace: str) -> Sequence[str]:
        """Take all pending nodes of the namespace off the queue; see `restore_pending`."""
        found = self._run(HOLD_PENDING, {"namespace": namespace})
        return [name for (name,) in found]

    def restore_pending(self, namespace: str, names: Sequence[str]) -> None:
        """Queue held nodes again, except those that were deleted meanwhile."""
        if names:
            given = msgspec.json.encode(names).decode()
            self._run(RESTORE_PENDING, {"namespace": namespace, "names": given})

    def pending_reach(self, namespace: str, *, now: datetime, names: int) -> Reach:
        """How many nodes of the namespace are pending, with up to *names* of their names."""
        key = {"namespace": namespace}
        touched, offline, total = self._run(
            PENDING_REACH, {**key, "now": micros(now), "quiet": STALE_AFTER_INTERVALS}
        )[0]
        some = self._run(SOME_PENDING, {**key, "limit": names})
        return Reach(touched, offline, total, [name for (name,) in some])

    def count_waiting(self) -> PendingCounts:
        """How many nodes and deliveries are pending, in all namespaces."""
        return PendingCounts(*self._run(COUNT_WAITING, NOTHING)[0])

    def count_waiting_in(self, namespace: str) -> PendingCounts:
        """As `count_waiting`, of one namespace."""
        return PendingCounts(*self._run(COUNT_WAITING_IN, {"namespace": namespace})[0])

    def count_waiting_among(self, namespace: str, selector: str, now: datetime) -> int:
        """How many of the nodes that *selector* selects have updates pending."""
        terms = parse_selector(selector)
        selection = NodeSelection(self._run, namespace, terms, (), now=now, apps={})
        return selection.count_where((AWAITS_UPDATE,), {})
