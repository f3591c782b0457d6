"""Overview of a namespace, progress of an app, usage of a node."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from cloud.core.readiness import NodeState
from cloud.core.rollout import CauseCount, NodeFailure, Rollout
from cloud.core.times import time_text
from cloud.core.usage import UsagePoint
from cloud.operations import overview, usage
from cloud.operations.app_nodes import causes_of_app
from cloud.rest.answers import Answer
from cloud.rest.app_nodes import CauseCountAnswer, cause_answers
from cloud.rest.context import RequestContext
from cloud.rest.described import Described
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


class NodeCounts(Answer):
    """Nodes by state; `total` is all of them."""

    total: int
    online: int
    stale: int
    offline: int
    never: int


class VersionCount(Answer):
    """How many nodes report this version of an app."""

    version: str
    nodes: int


class AppProgress(Answer):
    """An app as it is wanted now: for how many nodes, and what those last reported.

    `versions` counts all nodes that report the app, by what they report.
    """

    name: str
    version: str
    selected: int
    running: int
    failed: int
    pending: int
    versions: list[VersionCount]


class FailureAnswer(Answer):
    """A node that failed with the wanted version, and its reason."""

    node: str
    cause: str


class RolloutAnswer(AppProgress):
    """How far an app has come; `offline` counts nodes that do not run it and are not there.

    `failures` has the first five nodes by name that failed, `causes` counts all by their cause.
    """

    offline: int
    failures: list[FailureAnswer]
    causes: list[CauseCountAnswer]


class LastChange(Answer):
    """The app whose version changed last, and how far that has come."""

    app: str
    version: str
    time: str
    selected: int
    converged: int
    failed: int
    pending: int


class ActivationCounts(Answer):
    """Devices that activated in the last day, and hour."""

    day: int
    hour: int


class CertificateCounts(Answer):
    """Nodes whose last certificate has ended, and those where it ends within so long from now."""

    ended: int
    day: int
    week: int
    month: int


class OverviewAnswer(Answer):
    """A namespace at a glance: of its apps the 20 that changed last, the newest first.

    `waiting` is nodes with pending updates, `deliveries` calls of callbacks to be made.
    """

    nodes: NodeCounts
    apps: list[AppProgress]
    last_change: LastChange | None
    activations: ActivationCounts
    certificates: CertificateCounts
    waiting: int
    deliveries: int


class UsagePointAnswer(Answer):
    """The usage of a node at a time: cpu in cores, memory in bytes, `percent` of it from 0 to 1."""

    time: str
    cpu: float | None
    memory: int | None
    cpu_percent: float | None
    memory_percent: float | None


class UsageAnswer(Answer):
    """The last day of a node, the oldest first; `step` is seconds, 0 where none is stored."""

    step: int
    items: list[UsagePointAnswer]


async def get_overview(context: RequestContext) -> OverviewAnswer:
    """`GET /v1/overview`."""
    seen = await context.store.read(
        lambda tx: overview.overview(tx, context.namespace, now=context.now)
    )
    states = await context.api.counts.count(
        context.namespace, context.store, lambda tx, now: tx.count_states_in(context.namespace, now)
    )
    ends = seen.ends
    return OverviewAnswer(
        nodes=NodeCounts(
            total=sum(states.values()),
            online=states[NodeState.ONLINE],
            stale=states[NodeState.STALE],
            offline=states[NodeState.OFFLINE],
            never=states[NodeState.NEVER],
        ),
        apps=[_progress(rollout) for rollout in seen.apps],
        last_change=_last_change(seen.apps),
        activations=ActivationCounts(seen.activations_of_day, seen.activations_of_hour),
        certificates=CertificateCounts(ends.ended, ends.day, ends.week, ends.month),
        waiting=seen.waiting.nodes,
        deliveries=seen.waiting.deliveries,
    )


async def get_rollout(context: RequestContext) -> RolloutAnswer:
    """`GET /v1/apps/{name}/rollout`."""
    name = context.path("name")

    def read(tx: Transaction) -> tuple[Rollout, Sequence[NodeFailure], Sequence[CauseCount]]:
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


async def get_usage(context: RequestContext) -> UsageAnswer:
    """`GET /v1/nodes/{name}/usage`: the oldest first."""
    name = context.path("name")
    points = await context.store.read(
        lambda tx: usage.usage_of_node(tx, context.namespace, name, now=context.now)
    )
    step = context.api.usage_step.total_seconds()
    return UsageAnswer(int(step), [_point(point) for point in points])


def _progress(rollout: Rollout) -> AppProgress:
    return AppProgress(
        name=rollout.app.name,
        version=rollout.app.version,
        selected=rollout.selected,
        running=rollout.running,
        failed=rollout.failed,
        pending=rollout.pending,
        versions=[VersionCount(version, nodes) for version, nodes in rollout.versions],
    )


def _last_change(apps: Sequence[Rollout]) -> LastChange | None:
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
        cpu=_scaled(point.cpu, 3),
        memory=point.memory,
        cpu_percent=_scaled(point.cpu_part, 4),
        memory_percent=_scaled(point.memory_part, 4),
    )


def _scaled(number: int | None, digits: int) -> float | None:
    return None if number is None else float(Decimal(number).scaleb(-digits))


OVERVIEW_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/overview",
        get_overview,
        Described("A namespace at a glance", OverviewAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/apps/{name}/rollout",
        get_rollout,
        Described("How far an app has come", RolloutAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/usage",
        get_usage,
        Described("What a node used in the last day", UsageAnswer),
    ),
)
