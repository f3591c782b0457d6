"""Sessions of users, and who is calling: handlers, and rows of the route table."""

from collections.abc import Sequence
from typing import cast

from cloud.answers.common import DoneAnswer, Listed
from cloud.answers.user_sessions import CallerAnswer, UserSessionAnswer
from cloud.core.audit import ActorKind
from cloud.core.times import time_text
from cloud.core.user_sessions import UserSession
from cloud.operations import user_sessions
from cloud.rest.answers import DONE
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext
from cloud.rest.described import PAGED, Described, Parameter
from cloud.rest.route import OPEN, ApiRoute

_ALL = Parameter("all", "true: all sessions of the user of that session")


async def show_caller(context: RequestContext) -> CallerAnswer:
    """`GET /v1/whoami`."""
    caller = caller_of(context.request)
    kind = cast(ActorKind, caller.actor.kind)
    return CallerAnswer(kind, caller.actor.name, dict(caller.grants), caller.session)


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
