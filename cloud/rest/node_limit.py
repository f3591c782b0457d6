"""Routes and roles that are limited to some nodes."""

from enum import Enum

from starlette.requests import Request

from cloud.core.tokens import Caller
from cloud.errors import Forbidden
from cloud.operations.node_scope import NodeScope


class NodeLimit(Enum):
    """What a route does for a role that is limited to some nodes.

    NONE: it refuses; what is not stated to be for some nodes is not. ONE: the path names a node,
    which has to be one of those. SELECTED: the handler selects among them.
    """

    NONE = "none"
    ONE = "one"
    SELECTED = "selected"


def node_scope(
    request: Request, caller: Caller, namespace: str, nodes: str, limit: NodeLimit
) -> NodeScope | None:
    """The node that the request is about, for a *caller* who may see those alone of *nodes*.

    Forbidden where the route is not for some nodes.
    """
    if not nodes:
        return None
    if limit is NodeLimit.NONE:
        raise Forbidden(f"your role is for the nodes {nodes} alone; this is not about some nodes")
    if limit is NodeLimit.SELECTED:
        return None
    guarded = caller.limiting_labels(namespace)
    return NodeScope(namespace, request.path_params["name"], nodes, guarded)
