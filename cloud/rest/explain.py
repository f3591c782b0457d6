"""Handlers: why a node is not where it should be."""

from datetime import datetime

from cloud.core.explain import AppExplanation
from cloud.core.times import time_text
from cloud.operations.explain import explain_node
from cloud.rest.call import Call
from cloud.rest.views import View, node_view


async def get_explanation(call: Call) -> View:
    """`GET /v1/nodes/{name}/explain`."""
    name, app = call.path("name"), call.query("app")
    found = await call.store.read(
        lambda tx: explain_node(tx, call.namespace, name, now=call.now, app=app)
    )
    node, explanation = found.seen.node, found.explanation
    connected = call.api.is_connected(node.id)
    return {
        "name": node.name,
        "namespace": node.namespace,
        "state": node_view(found.seen, call.now, connected=connected)["state"],
        "converged": explanation.is_converged,
        "message": explanation.message,
        "apps": [_app_view(one) for one in explanation.apps],
    }


def _app_view(app: AppExplanation) -> View:
    return {
        "name": app.name,
        "system": app.is_system,
        "wanted": app.wanted,
        "reported": app.reported,
        "status": app.status,
        "cause": app.cause,
        "outcome": app.outcome,
        "wantedTime": _time(app.wanted_at),
        "toldTime": _time(app.told),
        "acknowledgedTime": _time(app.acknowledged),
        "reportedTime": _time(app.reported_at),
        "reason": app.reason,
        "message": app.message,
    }


def _time(moment: datetime | None) -> str | None:
    return time_text(moment) if moment else None
