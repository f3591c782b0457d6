"""The state of a node, alone or in a list."""

from datetime import datetime

from cloud.answers.nodes import NodeAnswer, StateAnswer
from cloud.core.encryption_key import SealingPolicy
from cloud.core.node import SeenNode
from cloud.core.readiness import REASONS, REVOKED, NodeState, node_status
from cloud.core.times import time_text
from cloud.rest.answers import time_or_none


def state_answer(
    seen: SeenNode, now: datetime, sealing: SealingPolicy, *, connected: bool | None
) -> StateAnswer:
    """The state of a node; *connected*: whether it has a connection, None where that is unknown.

    Its secrets are delivered by *sealing*.
    """
    heard = seen.heard
    stands = node_status(heard, now, is_revoked=seen.is_revoked)
    return StateAnswer(
        name=stands.state,
        reason=REVOKED if seen.is_revoked else REASONS[stands.state],
        since=time_text(stands.since or seen.node.created),
        last_report=time_or_none(heard.report if heard else None),
        last_stats=time_or_none(heard.stats if heard else None),
        interval=heard.cadence.interval.total_seconds() if heard else None,
        connected=connected,
        revoked=seen.is_revoked,
        secrets=sealing.delivery(seen.node.namespace, seen.encryption),
    )


def node_answer(
    seen: SeenNode, now: datetime, sealing: SealingPolicy, *, connected: bool | None
) -> NodeAnswer:
    """A node, alone or in a list; its labels are those that selectors see."""
    node, state = seen.node, state_answer(seen, now, sealing, connected=connected)
    return NodeAnswer(
        name=node.name,
        namespace=node.namespace,
        description=node.spec.description,
        ready=state.name is NodeState.ONLINE,
        state=state,
        create_time=time_text(node.created),
        labels=dict(node.labels),
        annotations=node.spec.annotations,
    )
