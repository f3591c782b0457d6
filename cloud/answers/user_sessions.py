"""Answers: sessions of users, and who is calling."""

from cloud.answers.common import Answer
from cloud.core.audit import ActorKind
from cloud.core.user_sessions import SessionKind


class UserSessionAnswer(Answer):
    """A session; `grants` are the roles in each namespace, `*` stands for all of them."""

    id: str
    user: str
    provider: str
    kind: SessionKind
    grants: dict[str, str]
    address: str
    current: bool
    create_time: str
    expires: str
    last_used_time: str


class CallerAnswer(Answer):
    """Who is calling; `session` is the id of the session, empty for a token."""

    kind: ActorKind
    name: str
    grants: dict[str, str]
    session: str


class PermissionAnswer(Answer):
    """Whether the caller has a permission in the namespace; `reason` is why not.

    `nodes` selects the nodes that it is for; empty for all.
    """

    allowed: bool
    permission: str
    namespace: str
    nodes: str
    reason: str
