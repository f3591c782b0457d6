"""Handlers: tokens. The namespace they are about may be `*`, for who acts in all of them."""

from dataclasses import replace

from starlette.responses import Response

from cloud.core.decoding import convert
from cloud.http.answers import json_response
from cloud.operations import tokens
from cloud.operations.tokens import TokenDraft
from cloud.rest.auth import caller_of
from cloud.rest.call import DONE, Call
from cloud.rest.views import View, token_view


async def create_token(call: Call) -> Response:
    """`POST /v1/tokens`: the only answer that ever holds the token itself."""
    draft = convert(await call.content(ignored=frozenset()), TokenDraft)
    namespace, secret = _namespace(call, draft.namespace), call.api.new_token()
    token = await call.store.write(
        lambda tx: tokens.create_token(tx, namespace, draft, secret, now=call.now)
    )
    answer = {**token_view(token), "token": secret}
    return json_response(answer, headers={"Cache-Control": "no-store"})


async def list_tokens(call: Call) -> View:
    """`GET /v1/tokens`; `?namespace=*` shows those of all namespaces."""
    call = replace(call, namespace=_namespace(call, call.query("namespace") or None))
    options = call.list_options()
    page = await call.store.read(lambda tx: tokens.list_tokens(tx, call.namespace, options))
    return call.list_view(page, options, token_view)


async def revoke_token(call: Call) -> View:
    """`DELETE /v1/tokens/{name}`; `?namespace=*` means the one that is for all namespaces."""
    namespace = _namespace(call, call.query("namespace") or None)
    name = call.path("name")
    await call.store.write(lambda tx: tokens.revoke_token(tx, namespace, name))
    return DONE


def _namespace(call: Call, asked: str | None) -> str:
    if asked is None:
        return call.namespace
    caller_of(call.request).check_namespace(asked)
    return asked
