"""The nodes of an app, with the reason where it failed."""

from collections.abc import Sequence

from cloud.answers.app_nodes import AppNodeAnswer, AppNodesAnswer, CauseCountAnswer
from cloud.core.field_selectors import nearest
from cloud.core.running import AppStatus
from cloud.core.version_progress import CauseCount
from cloud.errors import Invalid
from cloud.operations import app_nodes
from cloud.operations.apps import existing_app
from cloud.rest.context import RequestContext
from cloud.rest.described import NODES_LISTED, Described, Parameter
from cloud.rest.node_limit import NodeLimit
from cloud.rest.node_state import state_answer
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

_STATUSES = [status.value for status in AppStatus]


def cause_answers(causes: Sequence[CauseCount]) -> list[CauseCountAnswer]:
    """The groups of causes, as answers show them."""
    return [CauseCountAnswer(one.cause, one.nodes) for one in causes]


async def list_app_nodes(context: RequestContext) -> AppNodesAnswer:
    """`GET /v1/apps/{name}/nodes`."""
    name, options = context.path("name"), context.node_options()
    status = _status(context.query("status"))

    def read(tx: Transaction) -> AppNodesAnswer:
        page = app_nodes.nodes_of_app(tx, context.namespace, name, status, options)
        app = existing_app(tx, context.namespace, name)
        # They are counted of all nodes.
        causes = () if context.nodes else app_nodes.causes_of_app(tx, app)
        shown = context.listed(page, options, lambda one: _answer(context, one))
        return AppNodesAnswer(shown.total, shown.list_options, shown.items, cause_answers(causes))

    return await context.store.read(read)


def _status(text: str) -> AppStatus | None:
    if text and text not in _STATUSES:
        likely = nearest(text, _STATUSES)
        hint = f"; did you mean {likely}?" if likely else ""
        raise Invalid("status", f"{text[:40]!r} is none of {', '.join(_STATUSES)}{hint}")
    return AppStatus(text) if text else None


def _answer(context: RequestContext, one: app_nodes.AppNode) -> AppNodeAnswer:
    node = one.seen.node
    state = state_answer(one.seen, context.now, context.api.sealing, connected=None)
    return AppNodeAnswer(
        name=node.name,
        namespace=node.namespace,
        status=one.status,
        version=one.version,
        cause=one.cause,
        state=state.name,
        last_report=state.last_report,
    )


APP_NODE_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/apps/{name}/nodes",
        list_app_nodes,
        Described(
            "Nodes of an app",
            AppNodesAnswer,
            query=(
                Parameter("status", f"one of {', '.join(_STATUSES)}; by default all selected"),
                *NODES_LISTED,
            ),
        ),
        needs="read apps",
        limit=NodeLimit.SELECTED,
    ),
)
