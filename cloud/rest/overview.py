"""Overview of a namespace, progress of an app, usage of a node."""

from collections.abc import Mapping, Sequence

import msgspec

from cloud.answers.overview import (
    ActivationCounts,
    AppProgress,
    CertificateCounts,
    FailureAnswer,
    LastChange,
    NodeCounts,
    OverviewAnswer,
    RefusedCount,
    RolloutAnswer,
    UsageAnswer,
    UsagePointAnswer,
    VersionCount,
)
from cloud.core.readiness import NodeState
from cloud.core.times import time_text
from cloud.core.usage import UsagePoint
from cloud.core.version_progress import CauseCount, NodeFailure, VersionProgress
from cloud.operations import overview, usage
from cloud.operations.app_nodes import causes_of_app
from cloud.operations.limited_overview import limited_overview, limited_rollout
from cloud.rest.app_nodes import cause_answers
from cloud.rest.context import RequestContext
from cloud.rest.described import Described
from cloud.rest.node_limit import NodeLimit
from cloud.rest.node_list import scaled
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


async def get_overview(context: RequestContext) -> OverviewAnswer:
    """`GET /v1/overview`."""
    if context.nodes:
        where, now = (context.namespace, context.nodes), context.now
        states, seen = await context.store.read(lambda tx: limited_overview(tx, *where, now=now))
        return _overview_answer(states, seen)
    seen = await context.store.read(
        lambda tx: overview.overview(tx, context.namespace, now=context.now)
    )
    states = await context.api.counts.count(
        context.namespace, context.store, lambda tx, now: tx.count_states_in(context.namespace, now)
    )
    return _overview_answer(states, seen)


def _overview_answer(states: Mapping[NodeState, int], seen: overview.Overview) -> OverviewAnswer:
    ends = seen.ends
    return OverviewAnswer(
        nodes=node_counts(states),
        apps=[_progress(rollout) for rollout in seen.apps],
        last_change=_last_change(seen.apps),
        activations=ActivationCounts(seen.activations_of_day, seen.activations_of_hour),
        certificates=CertificateCounts(ends.ended, ends.day, ends.week, ends.month),
        waiting=seen.waiting.nodes,
        deliveries=seen.waiting.deliveries,
        refused=[RefusedCount(batch, devices) for batch, devices in seen.refused],
    )


async def get_rollout(context: RequestContext) -> RolloutAnswer:
    """`GET /v1/apps/{name}/rollout`."""
    name = context.path("name")
    if context.nodes:
        return await _limited_rollout(context, name)

    def read(
        tx: Transaction,
    ) -> tuple[VersionProgress, Sequence[NodeFailure], Sequence[CauseCount]]:
        found = overview.rollout_of_app(tx, context.namespace, name)
        if not found.failed:
            return found, (), ()
        return found, overview.failures_of_app(tx, found.app), causes_of_app(tx, found.app)

    rollout, failures, causes = await context.store.read(read)
    app, offline = rollout.app, 0
    if rollout.running < rollout.selected:
        offline = await context.api.counts.count(
            (app.namespace, app.name, app.version),
            context.store,
            lambda tx, now: overview.count_offline(tx, app, now=now),
        )
    return RolloutAnswer(
        **msgspec.structs.asdict(_progress(rollout)),
        offline=min(offline, rollout.selected - rollout.running),
        failures=[FailureAnswer(one.node, one.cause) for one in failures],
        causes=cause_answers(causes),
    )


async def _limited_rollout(context: RequestContext, name: str) -> RolloutAnswer:
    """The same of some nodes; neither versions nor causes are counted."""
    where, now = (context.namespace, name, context.nodes), context.now
    progress, failures, offline = await context.store.read(
        lambda tx: limited_rollout(tx, *where, now=now)
    )
    return RolloutAnswer(
        **msgspec.structs.asdict(_progress(progress)),
        offline=offline,
        failures=[FailureAnswer(one.node, one.cause) for one in failures],
        causes=[],
    )


async def get_usage(context: RequestContext) -> UsageAnswer:
    """`GET /v1/nodes/{name}/usage`: the oldest first."""
    name = context.path("name")
    points = await context.store.read(
        lambda tx: usage.usage_of_node(tx, context.namespace, name, now=context.now)
    )
    step = context.api.usage_step.total_seconds()
    return UsageAnswer(int(step), [_point(point) for point in points])


def node_counts(states: Mapping[NodeState, int]) -> NodeCounts:
    """The answer for how many nodes are in which state."""
    return NodeCounts(
        total=sum(states.values()),
        online=states[NodeState.ONLINE],
        stale=states[NodeState.STALE],
        offline=states[NodeState.OFFLINE],
        never=states[NodeState.NEVER],
    )


def _progress(rollout: VersionProgress) -> AppProgress:
    return AppProgress(
        name=rollout.app.name,
        version=rollout.app.version,
        selected=rollout.selected,
        running=rollout.running,
        failed=rollout.failed,
        pending=rollout.pending,
        versions=[VersionCount(version, nodes) for version, nodes in rollout.versions],
    )


def _last_change(apps: Sequence[VersionProgress]) -> LastChange | None:
    if not apps:
        return None
    last = apps[0]
    return LastChange(
        app=last.app.name,
        version=last.app.version,
        time=time_text(last.app.updated),
        selected=last.selected,
        converged=last.running,
        failed=last.failed,
        pending=last.pending,
    )


def _point(point: UsagePoint) -> UsagePointAnswer:
    return UsagePointAnswer(
        time=time_text(point.time),
        cpu=scaled(point.cpu, 3),
        memory=point.memory,
        cpu_percent=scaled(point.cpu_part, 4),
        memory_percent=scaled(point.memory_part, 4),
    )


OVERVIEW_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/overview",
        get_overview,
        Described("A namespace at a glance", OverviewAnswer),
        needs="read overview",
        limit=NodeLimit.SELECTED,
    ),
    ApiRoute(
        "GET",
        "/v1/apps/{name}/rollout",
        get_rollout,
        Described("How far an app has come", RolloutAnswer),
        needs="read apps",
        limit=NodeLimit.SELECTED,
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/usage",
        get_usage,
        Described("What a node used in the last day", UsageAnswer),
        needs="read nodes",
    ),
)
