"""Answers: the nodes of an app."""

from cloud.answers.common import Answer, Listed
from cloud.core.readiness import NodeState
from cloud.core.running import AppStatus


class CauseCountAnswer(Answer):
    """A cause without what differs between nodes, and how many nodes failed for it."""

    cause: str
    nodes: int


class AppNodeAnswer(Answer):
    """A node of an app: `failed` nodes have the `cause`, `version` runs there or was tried."""

    name: str
    namespace: str
    status: AppStatus
    version: str
    cause: str
    state: NodeState
    last_report: str | None


class AppNodesAnswer(Listed[AppNodeAnswer]):
    """A page of the nodes of an app; `causes` has the 20 that most of all its nodes failed for."""

    causes: list[CauseCountAnswer]
