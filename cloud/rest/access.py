"""Rows of the table of routes: who may do what, and who did."""

from collections.abc import Sequence

from cloud.core.tokens import Role
from cloud.operations.tokens import TokenDraft
from cloud.rest import audit, tokens
from cloud.rest.described import AUDITED, PAGED, TOKENS, Body, Described
from cloud.rest.route import ApiRoute
from cloud.rest.shapes import AuditAnswer, Listed, NewTokenAnswer, TokenAnswer

ACCESS_ROUTES: Sequence[ApiRoute] = (
    ApiRoute(
        "GET",
        "/v1/tokens",
        tokens.list_tokens,
        Described("List tokens", Listed[TokenAnswer], query=(*TOKENS, *PAGED)),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "POST",
        "/v1/tokens",
        tokens.create_token,
        Described("Create a token", NewTokenAnswer, Body(TokenDraft)),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "DELETE",
        "/v1/tokens/{name}",
        tokens.revoke_token,
        Described("Revoke a token", query=TOKENS),
        needs=Role.ADMIN,
    ),
    ApiRoute(
        "GET",
        "/v1/audit",
        audit.list_audit,
        Described("Who did what", AuditAnswer, query=AUDITED, refusals=(410,)),
        needs=Role.ADMIN,
    ),
)
