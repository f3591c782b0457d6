"""Policies of rollouts and rollouts: handlers, and rows of the route table."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from cloud.answers.common import Answer, Listed
from cloud.answers.rollouts import (
    RolloutNodeAnswer,
    RolloutPolicyAnswer,
    RolloutStateAnswer,
    RolloutSummary,
    RolloutWaitAnswer,
    StageStateAnswer,
)
from cloud.core.decoding import convert
from cloud.core.listing import Page
from cloud.core.rollout import Assignment, Rollout
from cloud.core.rollout_policy import RolloutPolicy
from cloud.core.rollout_turns import RolloutWait
from cloud.core.times import time_text
from cloud.core.tokens import Role
from cloud.operations import rollouts
from cloud.operations.kinds import ROLLOUT_POLICIES
from cloud.operations.rollouts import RolloutActor
from cloud.operations.seen_rollouts import SeenRollout, SeenStage
from cloud.rest.answers import time_or_none
from cloud.rest.auth import caller_of
from cloud.rest.context import Handler, RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.described import PAGED, Body, Described, Parameter
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

Act = Callable[[Transaction, RequestContext, str, RolloutActor], Rollout]


class StartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """When a rollout that is scheduled begins; without `startTime` now."""

    start_time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


def _policy_answer(_: RequestContext, policy: RolloutPolicy) -> RolloutPolicyAnswer:
    return RolloutPolicyAnswer(
        name=policy.name,
        namespace=policy.namespace,
        **msgspec.structs.asdict(policy.spec),
        version=policy.version,
        create_time=time_text(policy.created),
        update_time=time_text(policy.updated),
    )


def _policy_response(
    context: RequestContext, _: Transaction, policy: RolloutPolicy
) -> ResourceResponse[RolloutPolicyAnswer]:
    return ResourceResponse(_policy_answer(context, policy), policy)


async def list_rollouts(context: RequestContext) -> Listed[RolloutSummary]:
    """`GET /v1/rollouts`: the oldest first."""
    options, app = context.list_options(), context.query("app")
    is_open = context.flag("open")

    def read(tx: Transaction) -> Page[Rollout]:
        if is_open:
            return rollouts.list_open_rollouts(tx, context.namespace, app)
        return rollouts.list_rollouts(tx, context.namespace, options, app)

    page = await context.store.read(read)
    return context.listed(page, options, lambda one: RolloutSummary(**_summary(one)))


async def get_rollout_state(context: RequestContext) -> ResourceResponse[Answer]:
    """`GET /v1/rollouts/{name}`; the name is that of a rollout, or of an app for its newest."""
    name = context.path("name")
    return await _seen_response(context, name)


async def list_rollout_nodes(context: RequestContext) -> Listed[RolloutNodeAnswer]:
    """`GET /v1/rollouts/{name}/nodes`: those that do not wait, of one stage or state."""
    name, options = context.path("name"), context.list_options()
    stage, state = context.query("stage"), context.query("state")
    now = context.now

    def read(tx: Transaction) -> tuple[Rollout, Sequence[Assignment]]:
        return rollouts.assignments_of(tx, context.namespace, name, now=now)

    rollout, rows = await context.store.read(read)
    names = [one.name for one in rollout.rules.all_stages]
    found = [
        row
        for row in rows
        if (not stage or names[row.stage] == stage) and (not state or row.state.value == state)
    ]
    page = rollouts.page_of_nodes(found, options)
    return context.listed(page, options, lambda row: _node_answer(row, names[row.stage]))


def _acting(act: Act) -> Handler:
    """The handler of an action: its answer is the rollout after that."""

    async def handle(context: RequestContext) -> ResourceResponse[Answer]:
        return await _acted(context, act)

    return handle


async def _acted(context: RequestContext, act: Act) -> ResourceResponse[Answer]:
    name, precondition = context.path("name"), context.precondition()
    caller = caller_of(context.request)
    # Who has the permission by another role counts as an operator.
    has_all = caller.role_in(context.namespace) is Role.ADMIN
    role = Role.ADMIN if has_all else Role.OPERATOR
    by = RolloutActor(caller.actor.name or caller.actor.kind, role)

    def work(tx: Transaction) -> str:
        precondition.check(lambda: rollouts.existing_rollout(tx, context.namespace, name))
        return act(tx, context, name, by).name

    # What follows of it is found out in a read: that takes long in a large fleet.
    return await _seen_response(context, await context.store.write(work))


async def start_rollout(context: RequestContext) -> ResourceResponse[Answer]:
    """`POST /v1/rollouts/{name}/start`."""
    request = convert(await context.optional_content(), StartRequest)

    def act(tx: Transaction, _: RequestContext, name: str, by: RolloutActor) -> Rollout:
        where = (tx, context.namespace, name)
        return rollouts.start_rollout(*where, request.start_time, now=context.now)

    return await _acted(context, act)


def _reason(context: RequestContext) -> str:
    """Why, as the caller gave it in the header for that."""
    attempt = context.store.attempt
    return attempt.reason if attempt else ""


def _pause(tx: Transaction, context: RequestContext, name: str, by: RolloutActor) -> Rollout:
    where = (tx, context.namespace, name)
    return rollouts.pause_rollout(*where, by, _reason(context), now=context.now)


def _resume(tx: Transaction, context: RequestContext, name: str, _: RolloutActor) -> Rollout:
    return rollouts.resume_rollout(tx, context.namespace, name, now=context.now)


def _approve(tx: Transaction, context: RequestContext, name: str, by: RolloutActor) -> Rollout:
    return rollouts.approve_rollout(tx, context.namespace, name, by, now=context.now)


def _promote(tx: Transaction, context: RequestContext, name: str, by: RolloutActor) -> Rollout:
    return rollouts.promote_rollout(tx, context.namespace, name, by, now=context.now)


def _abort(tx: Transaction, context: RequestContext, name: str, by: RolloutActor) -> Rollout:
    where = (tx, context.namespace, name)
    return rollouts.abort_rollout(*where, by, _reason(context), now=context.now)


def _roll_back(tx: Transaction, context: RequestContext, name: str, by: RolloutActor) -> Rollout:
    where = (tx, context.namespace, name)
    return rollouts.roll_back(*where, by, _reason(context), now=context.now)


def _hurry(tx: Transaction, context: RequestContext, name: str, _: RolloutActor) -> Rollout:
    return rollouts.hurry_rollout(tx, context.namespace, name, now=context.now)


async def _seen_response(context: RequestContext, name: str) -> ResourceResponse[Answer]:
    known = context.api.seen_rollouts

    def read(tx: Transaction) -> SeenRollout:
        return rollouts.see_rollout(tx, context.namespace, name, known, now=context.now)

    seen = await context.store.read(read)
    rollout = seen.rollout
    answer = RolloutStateAnswer(
        **_summary(rollout),
        stages=[_stage_answer(rollout, index, one) for index, one in enumerate(seen.stages)],
        nodes=seen.total,
        failed=seen.failed,
        tolerated=seen.tolerated,
        waiting=seen.waiting,
        waits=[_wait_answer(wait) for wait in seen.waits],
    )
    return ResourceResponse(answer, rollout, is_whole=False)


def _summary(rollout: Rollout) -> dict[str, Any]:
    return {
        "name": rollout.name,
        "namespace": rollout.namespace,
        "app": rollout.app,
        "policy": rollout.policy,
        "base": rollout.base,
        "target": rollout.target,
        "state": rollout.state,
        "stage": rollout.rules.all_stages[rollout.stage].name,
        "cause": rollout.cause,
        "actor": rollout.actor,
        "emergency": rollout.is_emergency,
        "create_time": time_text(rollout.created),
        "update_time": time_text(rollout.updated),
        "start_time": time_or_none(rollout.starts),
        "end_time": time_or_none(rollout.ended),
    }


def _stage_answer(rollout: Rollout, index: int, seen: SeenStage) -> StageStateAnswer:
    given = next((one for one in rollout.approvals if one.stage == index), None)
    return StageStateAnswer(
        name=seen.stage.name,
        approval=seen.stage.approval,
        approved_by=given.actor if given else None,
        approved_time=time_text(given.time) if given else None,
        nodes=sum(seen.nodes.values()),
        counts=dict(seen.nodes),
    )


def _wait_answer(wait: RolloutWait) -> RolloutWaitAnswer:
    return RolloutWaitAnswer(wait.node, wait.reason, wait.detail, time_or_none(wait.until))


def _node_answer(row: Assignment, stage: str) -> RolloutNodeAnswer:
    return RolloutNodeAnswer(
        node=row.node,
        stage=stage,
        state=row.state,
        version=row.version,
        previous=row.previous,
        cause=row.cause,
        admitted_time=time_or_none(row.admitted),
        sent_time=time_or_none(row.sent),
        healthy_time=time_or_none(row.healthy),
        deferred_time=time_or_none(row.deferred),
        reason=row.reason,
    )


_ACTIONS: Sequence[tuple[str, Act, str]] = (
    ("pause", _pause, "Pause a rollout: admit no further nodes"),
    ("resume", _resume, "Resume a rollout; failed nodes have another deadline"),
    ("approve", _approve, "Approve the stage that a rollout waits to begin"),
    ("promote", _promote, "Begin the next stage of a rollout now, and accept failures so far"),
    ("abort", _abort, "End a rollout: each node keeps the version that it has"),
    ("rollback", _roll_back, "Bring each node back to its previous version"),
    ("hurry", _hurry, "Skip soak times and windows of a rollout from now on"),
)

ROLLOUT_ROUTES: Sequence[ApiRoute] = (
    *crud_routes(
        Crud(
            ROLLOUT_POLICIES,
            _policy_answer,
            RolloutPolicyAnswer,
            _policy_response,
            RolloutPolicyAnswer,
        )
    ),
    ApiRoute(
        "GET",
        "/v1/rollouts",
        list_rollouts,
        Described(
            "List rollouts",
            Listed[RolloutSummary],
            query=(
                *PAGED,
                Parameter("app", "only those of that app"),
                Parameter("open", "`true`: all that have not ended, on one page"),
            ),
        ),
    ),
    ApiRoute(
        "GET",
        "/v1/rollouts/{name}",
        get_rollout_state,
        Described("Get a rollout, or the newest one of an app", RolloutStateAnswer),
    ),
    ApiRoute(
        "GET",
        "/v1/rollouts/{name}/nodes",
        list_rollout_nodes,
        Described(
            "List the nodes that a rollout has admitted, skipped or brought back",
            Listed[RolloutNodeAnswer],
            query=(
                *PAGED,
                Parameter("stage", "only those of the stage of that name"),
                Parameter("state", "only those in that state"),
            ),
        ),
        needs="read rollouts",
    ),
    *(
        ApiRoute(
            "POST",
            f"/v1/rollouts/{{name}}/{verb}",
            _acting(act),
            Described(summary, RolloutStateAnswer, refusals=(404, 409)),
        )
        for verb, act, summary in _ACTIONS
    ),
    ApiRoute(
        "POST",
        "/v1/rollouts/{name}/start",
        start_rollout,
        Described(
            "Begin a scheduled rollout now, or at another time",
            RolloutStateAnswer,
            Body(StartRequest),
            refusals=(404, 409),
        ),
    ),
)
