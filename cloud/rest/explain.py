"""Explanations of the state of a node."""

from collections.abc import Sequence

from cloud.answers.explain import ExplainedAppAnswer, ExplanationAnswer
from cloud.core.explain import AppExplanation
from cloud.operations.explain import explain_node
from cloud.rest.answers import time_or_none
from cloud.rest.context import RequestContext
from cloud.rest.described import EXPLAINED, Described
from cloud.rest.node_state import state_answer
from cloud.rest.route import ApiRoute


async def get_explanation(context: RequestContext) -> ExplanationAnswer:
    """`GET /v1/nodes/{name}/explain`."""
    name, app = context.path("name"), context.query("app")
    sealing = context.api.sealing
    found = await context.store.read(
        lambda tx: explain_node(
            tx,
            context.namespace,
            name,
            now=context.now,
            app=app,
            names_others=not context.nodes,
            sealing=sealing,
        )
    )
    node, explanation = found.seen.node, found.explanation
    connected = context.api.is_connected(node.id)
    return ExplanationAnswer(
        name=node.name,
        namespace=node.namespace,
        state=state_answer(found.seen, context.now, sealing, connected=connected),
        converged=explanation.is_converged,
        message=explanation.message,
        apps=[_app_answer(one) for one in explanation.apps],
    )


def _app_answer(app: AppExplanation) -> ExplainedAppAnswer:
    return ExplainedAppAnswer(
        name=app.name,
        system=app.is_system,
        wanted=app.wanted,
        reported=app.reported,
        running=app.running,
        status=app.status,
        cause=app.cause,
        outcome=app.outcome,
        wanted_time=time_or_none(app.wanted_at),
        told_time=time_or_none(app.sent),
        acknowledged_time=time_or_none(app.acknowledged),
        reported_time=time_or_none(app.reported_at),
        reason=app.reason,
        message=app.message,
        rollout=app.rollout,
    )


EXPLAIN_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/nodes/{name}/explain",
        get_explanation,
        Described("Why a node runs what it runs", ExplanationAnswer, query=EXPLAINED),
        needs="read nodes",
    ),
)
