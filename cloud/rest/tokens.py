"""Tokens: handlers, and rows of the route table.

The namespace they are about may be `*`, for who acts in all of them.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
from starlette.responses import Response

from cloud.answers.common import DoneAnswer, Listed
from cloud.answers.tokens import NewTokenAnswer, TokenAnswer
from cloud.core.decoding import convert
from cloud.core.permissions import Permission
from cloud.core.times import time_text
from cloud.core.tokens import ApiToken
from cloud.http.answers import json_response
from cloud.operations import tokens
from cloud.operations.tokens import TokenDraft, TokenRotation
from cloud.rest.answers import DONE, time_or_none
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext
from cloud.rest.described import PAGED, TOKENS, Body, Described
from cloud.rest.route import ApiRoute


async def create_token(context: RequestContext) -> Response:
    """`POST /v1/tokens`: this answer and that of a rotation alone hold the token itself."""
    draft = convert(await context.content(ignored=frozenset()), TokenDraft)
    namespace = _namespace(context, draft.namespace, "create")
    secret, caller = context.api.new_token(), caller_of(context.request)
    token = await context.store.write(
        lambda tx: tokens.create_token(tx, caller, namespace, draft, secret, now=context.now)
    )
    return _new_answer(token, secret)


async def rotate_token(context: RequestContext) -> Response:
    """`POST /v1/tokens/{name}/rotate`; `?namespace=*` means the one that is for all namespaces."""
    rotation = convert(await context.optional_content(), TokenRotation)
    name, secret = context.path("name"), context.api.new_token()
    namespace = _namespace(context, context.query("namespace") or None, "rotate", name)
    caller = caller_of(context.request)
    where = (caller, namespace, name)
    token = await context.store.write(
        lambda tx: tokens.rotate_token(tx, *where, rotation, secret, now=context.now)
    )
    return _new_answer(token, secret)


async def list_tokens(context: RequestContext) -> Listed[TokenAnswer]:
    """`GET /v1/tokens`; `?namespace=*` shows those of all namespaces."""
    namespace = _namespace(context, context.query("namespace") or None, "list")
    context = replace(context, namespace=namespace)
    options = context.list_options()
    page = await context.store.read(lambda tx: tokens.list_tokens(tx, context.namespace, options))
    return context.listed(page, options, _answer)


async def revoke_token(context: RequestContext) -> DoneAnswer:
    """`DELETE /v1/tokens/{name}`; `?namespace=*` means the one that is for all namespaces."""
    name = context.path("name")
    namespace = _namespace(context, context.query("namespace") or None, "delete", name)
    await context.store.write(lambda tx: tokens.revoke_token(tx, namespace, name))
    return DONE


def _namespace(context: RequestContext, asked: str | None, verb: str, name: str = "") -> str:
    if asked is None:
        return context.namespace
    caller_of(context.request).check(Permission(verb, "tokens", name), asked)
    return asked


def _new_answer(token: ApiToken, secret: str) -> Response:
    answer = NewTokenAnswer(**msgspec.structs.asdict(_answer(token)), token=secret)
    return json_response(answer, headers={"Cache-Control": "no-store"})


def _answer(token: ApiToken) -> TokenAnswer:
    """A token, alone or in a list: without the token itself, and without its digest."""
    return TokenAnswer(
        name=token.name,
        namespace=token.namespace,
        role=token.role,
        create_time=time_text(token.created),
        expires=time_or_none(token.expires),
        last_used_time=time_or_none(token.last_used),
        permissions=[str(one) for one in token.scopes],
        nodes=token.nodes,
        previous_expires=time_or_none(token.previous_ends),
    )


TOKEN_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/tokens",
        list_tokens,
        Described("List tokens", Listed[TokenAnswer], query=(*TOKENS, *PAGED)),
    ),
    ApiRoute(
        "POST",
        "/v1/tokens",
        create_token,
        Described("Create a token", NewTokenAnswer, Body(TokenDraft)),
    ),
    ApiRoute(
        "POST",
        "/v1/tokens/{name}/rotate",
        rotate_token,
        Described(
            "Give a token another secret; the one it has is valid for a while",
            NewTokenAnswer,
            Body(TokenRotation, may_lack=True),
            query=TOKENS,
        ),
    ),
    ApiRoute(
        "DELETE",
        "/v1/tokens/{name}",
        revoke_token,
        Described("Revoke a token", query=TOKENS),
    ),
)
