"""Sessions of users, and who is calling: handlers, and rows of the route table."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from cloud.answers.common import DoneAnswer, Listed
from cloud.answers.user_sessions import CallerAnswer, PermissionAnswer, UserSessionAnswer
from cloud.core.audit import ActorKind
from cloud.core.kinds import KINDS
from cloud.core.permissions import OF_NODES, Permission, known_permissions, parse_permission
from cloud.core.times import time_text
from cloud.core.user_sessions import UserSession
from cloud.errors import Forbidden, Invalid
from cloud.operations import user_sessions
from cloud.operations.node_scope import is_within
from cloud.rest.answers import DONE
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext
from cloud.rest.described import PAGED, Described, Parameter
from cloud.rest.route import OPEN, ApiRoute

LIMITED = frozenset({Permission("list", "events", ""), Permission("read", "overview", "")})
"""Permissions of roles for some nodes, beside those of OF_NODES."""

_ALL = Parameter("all", "true: all sessions of the user of that session")


async def show_caller(context: RequestContext) -> CallerAnswer:
    """`GET /v1/whoami`."""
    caller = caller_of(context.request)
    kind = cast(ActorKind, caller.actor.kind)
    return CallerAnswer(kind, caller.actor.name, dict(caller.grants), caller.session)


async def ask_permission(context: RequestContext) -> PermissionAnswer:
    """`GET /v1/can-i`: no error where the answer is no."""
    caller, needed = caller_of(context.request), _asked_permission(context)
    try:
        nodes = caller.nodes_for([needed], needed.name, context.namespace)
    except Forbidden as error:
        return _permission_answer(context, needed, reason=str(error))
    if nodes and not await _is_for_nodes(context, needed, nodes):
        reason = f"your role is for the nodes {nodes} alone"
        return _permission_answer(context, needed, reason=reason)
    return _permission_answer(context, needed, nodes=nodes)


async def _is_for_nodes(context: RequestContext, needed: Permission, nodes: str) -> bool:
    """Return whether who may see *nodes* alone has *needed* of any of them, or of the named one."""
    if needed.kind not in OF_NODES:
        return needed in LIMITED
    if (needed.verb, needed.kind) == ("create", "nodes"):
        return False
    name = needed.name
    node = await context.store.read(lambda tx: tx.node(context.namespace, name)) if name else None
    return not name or (node is not None and is_within(nodes, node))


def _asked_permission(context: RequestContext) -> Permission:
    """The permission in the query; Invalid for one that nothing needs."""
    verb, word = context.query("verb"), context.query("kind")
    kind = KINDS.named(word)
    own = Permission(verb, kind.plural if kind else word)
    if own not in known_permissions():
        parse_permission("kind", f"{verb} {own.kind}")
        raise Invalid("verb", "names no verb")
    return replace(own, name=context.query("name"))


def _permission_answer(
    context: RequestContext, needed: Permission, *, nodes: str = "", reason: str = ""
) -> PermissionAnswer:
    return PermissionAnswer(not reason, str(needed), context.namespace, nodes, reason)


async def list_sessions(context: RequestContext) -> Listed[UserSessionAnswer]:
    """`GET /v1/sessions`."""
    caller, options = caller_of(context.request), context.list_options()
    page = await context.store.read(
        lambda tx: user_sessions.list_sessions(tx, caller, options, now=context.now)
    )
    return context.listed(page, options, lambda one: _answer(one, caller.session))


async def end_session(context: RequestContext) -> DoneAnswer:
    """`DELETE /v1/sessions/{id}`."""
    caller = caller_of(context.request)
    own_id, of_user = context.path("id"), context.flag("all")
    await context.store.write(
        lambda tx: user_sessions.end_session(tx, caller, own_id, of_user=of_user)
    )
    return DONE


def _answer(session: UserSession, current: str) -> UserSessionAnswer:
    return UserSessionAnswer(
        id=session.id,
        user=session.user.name,
        provider=session.user.provider,
        kind=session.kind,
        grants=dict(session.grants),
        address=session.address,
        current=session.id == current,
        create_time=time_text(session.created),
        expires=time_text(session.expires),
        last_used_time=time_text(session.last_used),
    )


USER_SESSION_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET", "/v1/whoami", show_caller, Described("Who is calling", CallerAnswer), needs=OPEN
    ),
    ApiRoute(
        "GET",
        "/v1/can-i",
        ask_permission,
        Described(
            "Whether the caller may do something",
            PermissionAnswer,
            query=(
                Parameter("verb", "such as `restart`"),
                Parameter("kind", "such as `nodes`"),
                Parameter("name", "of the thing; without it lists, and things of every name"),
            ),
        ),
        needs=OPEN,
    ),
    ApiRoute(
        "GET",
        "/v1/sessions",
        list_sessions,
        Described("List sessions of users", Listed[UserSessionAnswer], query=PAGED),
        needs=OPEN,
    ),
    ApiRoute(
        "DELETE",
        "/v1/sessions/{id}",
        end_session,
        Described("End a session", query=(_ALL,)),
        needs=OPEN,
    ),
)
