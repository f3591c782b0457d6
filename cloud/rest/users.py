"""Users that the server itself keeps: handlers, and rows of the route table.

They may have roles in any namespace: administrators of all of them make them, and no others.
"""

import base64
import hashlib
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from starlette.responses import Response

from cloud.answers.common import DoneAnswer, Listed
from cloud.answers.users import SecondFactorAnswer, UserAnswer
from cloud.core.decoding import convert
from cloud.core.local_users import STEP_SECONDS, LocalUser
from cloud.core.permissions import Permission
from cloud.core.times import time_text
from cloud.core.tokens import EVERYWHERE, Caller
from cloud.http.answers import json_response
from cloud.operations import local_users
from cloud.operations.local_users import NewUser, UserChange, UserDraft
from cloud.rest.answers import DONE
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext
from cloud.rest.described import PAGED, Body, Described
from cloud.rest.route import ApiRoute

_ISSUER = "edgesync"
_SECRET_BYTES = 20
"""RFC 4226, section 4: 160 bits."""


async def create_user(context: RequestContext) -> UserAnswer:
    """`POST /v1/users`."""
    caller = _checked_caller(context, "create")
    draft = convert(await context.content(ignored=frozenset()), UserDraft)
    local_users.check_draft(draft)
    hashed = await context.api.local_sign_in.passwords.hashed(draft.password, caller.actor)
    new = NewUser(draft, context.api.new_id(), hashed)
    return _answer(
        await context.store.write(
            lambda tx: local_users.create_user(tx, caller, new, now=context.now)
        )
    )


async def list_users(context: RequestContext) -> Listed[UserAnswer]:
    """`GET /v1/users`."""
    _checked_caller(context, "list")
    options = context.list_options()
    page = await context.store.read(lambda tx: local_users.list_users(tx, options))
    return context.listed(page, options, _answer)


async def change_user(context: RequestContext) -> UserAnswer:
    """`PUT /v1/users/{name}`: what is left out stays."""
    name = context.path("name")
    caller = _checked_caller(context, "update", name)
    change = convert(await context.content(ignored=frozenset()), UserChange)
    local_users.check_change(name, change)
    passwords = context.api.local_sign_in.passwords
    hashed = await passwords.hashed(change.password, caller.actor) if change.password else ""
    return _answer(
        await context.store.write(
            lambda tx: local_users.change_user(tx, caller, name, change, hashed, now=context.now)
        )
    )


async def delete_user(context: RequestContext) -> DoneAnswer:
    """`DELETE /v1/users/{name}`."""
    name = context.path("name")
    caller = _checked_caller(context, "delete", name)
    await context.store.write(lambda tx: local_users.delete_user(tx, caller, name))
    return DONE


async def create_second_factor(context: RequestContext) -> Response:
    """`POST /v1/users/{name}/totp`: the only answer that ever holds the secret."""
    name = context.path("name")
    caller = _checked_caller(context, "update", name)
    random = hashlib.sha256(context.api.new_token().encode()).digest()
    secret = base64.b32encode(random[:_SECRET_BYTES]).decode()
    await context.store.write(
        lambda tx: local_users.put_second_factor(tx, caller, name, secret, now=context.now)
    )
    query = urlencode({"secret": secret, "issuer": _ISSUER, "period": STEP_SECONDS})
    answer = SecondFactorAnswer(secret, f"otpauth://totp/{_ISSUER}:{quote(name)}?{query}")
    return json_response(answer, headers={"Cache-Control": "no-store"})


async def delete_second_factor(context: RequestContext) -> DoneAnswer:
    """`DELETE /v1/users/{name}/totp`."""
    name = context.path("name")
    caller = _checked_caller(context, "update", name)
    await context.store.write(
        lambda tx: local_users.put_second_factor(tx, caller, name, "", now=context.now)
    )
    return DONE


def _checked_caller(context: RequestContext, verb: str, name: str = "") -> Caller:
    """Who calls; Forbidden for who may not in all namespaces."""
    caller = caller_of(context.request)
    caller.check(Permission(verb, "users", name), EVERYWHERE)
    return caller


def _answer(user: LocalUser) -> UserAnswer:
    return UserAnswer(
        name=user.name,
        grants=dict(user.grants),
        disabled=user.is_disabled,
        second_factor=bool(user.totp),
        create_time=time_text(user.created),
        update_time=time_text(user.updated),
    )


USER_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/users",
        list_users,
        Described("List local users", Listed[UserAnswer], query=PAGED),
    ),
    ApiRoute(
        "POST",
        "/v1/users",
        create_user,
        Described("Create a local user", UserAnswer, Body(UserDraft)),
    ),
    ApiRoute(
        "PUT",
        "/v1/users/{name}",
        change_user,
        Described("Change a local user, and end its sessions", UserAnswer, Body(UserChange)),
    ),
    ApiRoute(
        "DELETE",
        "/v1/users/{name}",
        delete_user,
        Described("Delete a local user, and end its sessions"),
    ),
    ApiRoute(
        "POST",
        "/v1/users/{name}/totp",
        create_second_factor,
        Described("Give a local user a second factor (RFC 6238)", SecondFactorAnswer),
        needs="update users",
    ),
    ApiRoute(
        "DELETE",
        "/v1/users/{name}/totp",
        delete_second_factor,
        Described("Take the second factor of a local user away"),
        needs="update users",
    ),
)
