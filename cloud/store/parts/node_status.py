"""The status of nodes by which lists select them: a narrow row for each node.

It repeats what is stored elsewhere: when a node was heard last and how often it reports, its
`DeployStatus`, its agent, when its last certificate ends and whether all of them were revoked.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from cloud.core.deploys import DeployStatus
from cloud.core.readiness import NodeState
from cloud.store.node_conditions import moments_of_states
from cloud.store.parts.reporters import REPORTERS
from cloud.store.parts.row_sets import Lookup, NodePlace, RowSetPart
from cloud.store.rows import Parameters, Row
from cloud.store.statements import fragment, joined, set_statement, statement

REPORT_STATUS = set_statement(
    """
    UPDATE node_status SET heard = :received, report_interval = :report_interval,
        knows_offers = :knows_offers,
        agent = CASE WHEN :agent = '' THEN node_status.agent ELSE :agent END {rows}
    AND node_status.namespace = :namespace AND node_status.name = :name
    """,
    numbers={"received", "report_interval", "knows_offers"},
    order=2,
    writes={"node_status"},
)
STATS_HEARD = set_statement(
    """
    UPDATE node_status SET heard = :now {rows}
    AND node_status.namespace = :namespace AND node_status.name = :name
    AND node_status.heard < :now
    """,
    numbers={"now"},
    order=3,
    writes={"node_status"},
)
SET_DEPLOY_STATUS = set_statement(
    """
    UPDATE node_status SET deploy = :deploy {rows}
    AND node_status.namespace = :namespace AND node_status.name = :name
    AND node_status.deploy <> :deploy
    """,
    order=2,
    writes={"node_status"},
)
CERTIFIED_STATUS = set_statement(
    """
    UPDATE node_status SET revoked = 0, expires = CASE
        WHEN node_status.expires > :expires THEN node_status.expires ELSE :expires END {rows}
    AND node_status.namespace = :namespace AND node_status.name = :name
    """,
    numbers={"expires"},
    order=2,
    writes={"node_status"},
)
REVOKED_STATUS = statement(
    """
    UPDATE node_status SET revoked = 1, expires = NULL
    WHERE namespace = :namespace AND name = :name
    """,
    writes={"node_status"},
)
STATE_COUNTS = fragment(
    """
    count(*), count(heard),
        coalesce(sum(CASE WHEN revoked = 0 AND :now - heard < :quiet * report_interval
            THEN 1 ELSE 0 END), 0),
        coalesce(sum(CASE WHEN revoked = 0 AND :now - heard < :gone * report_interval
            THEN 1 ELSE 0 END), 0)
    FROM node_status
    """,
    reads={"node_status"},
)
_SELECT = fragment("SELECT ")
COUNT_STATES = joined(_SELECT, STATE_COUNTS)
COUNT_STATES_IN = joined(_SELECT, STATE_COUNTS, fragment(" WHERE namespace = :namespace"))


class NodeStatusPart(RowSetPart):
    """The status of nodes."""

    def set_deploy_status(self, namespace: str, name: str, status: DeployStatus) -> None:
        """Record how the node stands with what it should run."""
        place = namespace, name
        becomes: dict[Lookup[Any], Any] = {}
        if self._sets.is_known(REPORTERS, place) and (own := self._sets.value(REPORTERS, place)):
            becomes[REPORTERS] = msgspec.structs.replace(own, deploy=status.value)
        row: Parameters = {"namespace": namespace, "name": name, "deploy": status.value}
        self._sets.put(SET_DEPLOY_STATUS, place, row, place=place, becomes=becomes)

    def set_pending_statuses(self, nodes: Iterable[NodePlace]) -> None:
        """Record that *nodes* have to report before they may have converged."""
        for namespace, name in nodes:
            self.set_deploy_status(namespace, name, DeployStatus.PENDING)

    def count_states(self, now: datetime) -> Mapping[NodeState, int]:
        """How many nodes, of all namespaces, are in which state at *now*.

        Looks at every node: 10 ms of 100,000.
        """
        return states_of(self._run(COUNT_STATES, moments_of_states(now))[0])

    def count_states_in(self, namespace: str, now: datetime) -> Mapping[NodeState, int]:
        """As `count_states`, of one namespace."""
        where: Parameters = {**moments_of_states(now), "namespace": namespace}
        return states_of(self._run(COUNT_STATES_IN, where)[0])


def states_of(row: Row) -> Mapping[NodeState, int]:
    """How many nodes stand how, of a row of `STATE_COUNTS`."""
    nodes, heard, online, not_gone = map(int, row)
    return {
        NodeState.ONLINE: online,
        NodeState.STALE: not_gone - online,
        NodeState.OFFLINE: heard - not_gone,
        NodeState.NEVER: nodes - heard,
    }
