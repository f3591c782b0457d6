"""Nodes whose desired state has to be sent again: the queue of the pusher."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from cloud.core.node import Node
from cloud.core.plan import Reach
from cloud.core.readiness import QUIET
from cloud.core.selectors import Selector
from cloud.store.parts.part import NOTHING, Part, Run
from cloud.store.rows import micros
from cloud.store.sealing import Sealer
from cloud.store.selection import NODE, Selection
from cloud.store.statements import statement

MARK_PENDING = statement(
    """
    INSERT INTO stale_node (namespace, name)
    SELECT namespace, name FROM node WHERE namespace = :namespace AND name = :name
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
    SELECT (SELECT count(*) FROM stale_node), (SELECT count(*) FROM delivery WHERE due IS NOT NULL)
    """,
    reads={"delivery", "stale_node"},
)
COUNT_WAITING_IN = statement(
    """
    SELECT (SELECT count(*) FROM stale_node WHERE namespace = :namespace),
        (SELECT count(*) FROM delivery WHERE namespace = :namespace AND due IS NOT NULL)
    """,
    reads={"delivery", "stale_node"},
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many nodes have updates pending, and how many deliveries of callbacks are."""

    nodes: int
    deliveries: int


class PendingPart(Part):
    """Pending nodes."""

    def __init__(self, run: Run, sealer: Sealer) -> None:
        super().__init__(run, sealer)
        # Whether there may be more stale nodes after the commit.
        self.marked_stale = False

    def mark_stale(self, nodes: Iterable[Node]) -> None:
        """Note that these nodes may have to be told something; wakes the pusher after commit.

        Nodes that are not there are left out.
        """
        for node in nodes:
            self._run(MARK_PENDING, {"namespace": node.namespace, "name": node.name})
            self.marked_stale = True

    def mark_selected_stale(self, namespace: str, selector: Selector) -> None:
        """As `mark_stale` for the nodes that an app with *selector* is for; without terms: none."""
        if selector:
            Selection(self._run, NODE, namespace, selector).mark_stale()
            self.marked_stale = True

    def is_stale(self, namespace: str, name: str) -> bool:
        """Say whether the node is noted."""
        return bool(self._run(IS_PENDING, {"namespace": namespace, "name": name}))

    def take_stale(self, limit: int) -> Sequence[tuple[str, str]]:
        """Take up to *limit* noted nodes (namespace, name) off the list; no two callers get one."""
        taken = self._run(TAKE_PENDING, {"limit": max(limit, 0)})
        return [(namespace, name) for namespace, name in taken]

    def set_stale_aside(self, namespace: str) -> Sequence[str]:
        """Take all nodes of the namespace off the list, to see who is put there from now on."""
        found = self._run(HOLD_PENDING, {"namespace": namespace})
        return [name for (name,) in found]

    def put_stale_back(self, namespace: str, names: Sequence[str]) -> None:
        """Put those that were set aside on the list again; who is there, or gone, stays so."""
        if names:
            given = msgspec.json.encode(names).decode()
            self._run(RESTORE_PENDING, {"namespace": namespace, "names": given})

    def stale_reach(self, namespace: str, *, now: datetime, names: int) -> Reach:
        """Who of the namespace is on the list, up to *names* of them by name."""
        key = {"namespace": namespace}
        touched, offline, total = self._run(
            PENDING_REACH, {**key, "now": micros(now), "quiet": QUIET}
        )[0]
        some = self._run(SOME_PENDING, {**key, "limit": names})
        return Reach(touched, offline, total, [name for (name,) in some])

    def count_waiting(self) -> Waiting:
        """How much there is of what servers have yet to do, for all namespaces."""
        nodes, deliveries = self._run(COUNT_WAITING, NOTHING)[0]
        return Waiting(nodes, deliveries)

    def count_waiting_in(self, namespace: str) -> Waiting:
        """As `count_waiting`, of one namespace."""
        nodes, deliveries = self._run(COUNT_WAITING_IN, {"namespace": namespace})[0]
        return Waiting(nodes, deliveries)
