"""Tokens that open the API."""

from collections.abc import Sequence

from cloud.core.listing import (
    ListOptions,
    Page,
)
from cloud.core.permissions import parse_permission
from cloud.core.tokens import ApiToken
from cloud.errors import Conflict
from cloud.store.parts.part import DuplicateKey, TransactionPart, first, page_bounds, page_of
from cloud.store.rows import Parameters, Row, micros, micros_or_none, moment, moment_or_none
from cloud.store.statements import statement

_BETWEEN = "\n"
"""Between the permissions that a token is narrowed to."""

API_TOKEN = statement(
    """
    SELECT namespace, name, digest, role, created, expires, last_used, scopes, nodes,
        previous_digest, previous_ends FROM api_token
    WHERE digest = :digest OR previous_digest = :digest
    """,
    reads={"api_token"},
)
API_TOKENS = statement(
    """
    SELECT namespace, name, digest, role, created, expires, last_used, scopes, nodes,
        previous_digest, previous_ends FROM api_token
    WHERE namespace = :namespace ORDER BY created, name
    """,
    reads={"api_token"},
)
API_TOKENS_PAGE = statement(
    """
    SELECT namespace, name, digest, role, created, expires, last_used, scopes, nodes,
        previous_digest, previous_ends FROM api_token
    WHERE (:namespace = '*' OR namespace = :namespace)
        AND (created, namespace || '/' || name) > (:after, :after_name)
    ORDER BY created, namespace || '/' || name LIMIT :limit
    """,
    reads={"api_token"},
)
COUNT_API_TOKENS = statement(
    """
    SELECT count(*) FROM api_token WHERE :namespace = '*' OR namespace = :namespace
    """,
    reads={"api_token"},
)
PUT_API_TOKEN = statement(
    """
    INSERT INTO api_token (namespace, name, digest, role, created, expires, last_used, scopes,
        nodes, previous_digest, previous_ends)
    VALUES (:namespace, :name, :digest, :role, :created, :expires, :last_used, :scopes, :nodes,
        :previous_digest, :previous_ends)
    ON CONFLICT (namespace, name) DO UPDATE SET
        digest = excluded.digest, role = excluded.role, created = excluded.created,
        expires = excluded.expires, last_used = excluded.last_used, scopes = excluded.scopes,
        nodes = excluded.nodes,
        previous_digest = excluded.previous_digest, previous_ends = excluded.previous_ends
    """,
    writes={"api_token"},
)
DELETE_API_TOKEN = statement(
    """
    DELETE FROM api_token WHERE namespace = :namespace AND name = :name RETURNING name
    """,
    writes={"api_token"},
)


class ApiTokenPart(TransactionPart):
    """Tokens of people and programs."""

    def api_token(self, digest: str) -> ApiToken | None:
        return first(_api_token_of, self._run(API_TOKEN, {"digest": digest}))

    def api_tokens(self, namespace: str) -> Sequence[ApiToken]:
        found = self._run(API_TOKENS, {"namespace": namespace})
        return [_api_token_of(row) for row in found]

    def list_api_tokens(self, namespace: str, options: ListOptions) -> Page[ApiToken]:
        """Oldest first; EVERYWHERE stands for those of every namespace. No selectors."""
        key = {"namespace": namespace}
        rows = self._run(API_TOKENS_PAGE, {**key, **page_bounds(options)})
        total: int = self._run(COUNT_API_TOKENS, key)[0][0]
        return page_of(
            [_api_token_of(row) for row in rows],
            total,
            options.limit,
            lambda token: (token.created, f"{token.namespace}/{token.name}"),
        )

    def put_api_token(self, token: ApiToken) -> None:
        """Conflict if a token of another name has the same digest."""
        try:
            self._run(PUT_API_TOKEN, _api_token_row(token))
        except DuplicateKey as error:
            raise Conflict("token", token.name) from error

    def delete_api_token(self, namespace: str, name: str) -> bool:
        key = {"namespace": namespace, "name": name}
        return bool(self._run(DELETE_API_TOKEN, key))


def _api_token_of(row: Row) -> ApiToken:
    """The token of a row of `API_TOKEN`."""
    namespace, name, digest, role, created, expires, last_used, scopes, nodes, previous, ends = row
    return ApiToken(
        namespace,
        name,
        digest,
        role,
        moment(created),
        moment_or_none(expires),
        moment_or_none(last_used),
        tuple(parse_permission("scopes", one) for one in scopes.split(_BETWEEN) if one),
        nodes,
        previous or "",
        moment_or_none(ends),
    )


def _api_token_row(token: ApiToken) -> Parameters:
    """Parameters of `PUT_API_TOKEN`."""
    return {
        "namespace": token.namespace,
        "name": token.name,
        "digest": token.digest,
        "role": token.role,
        "created": micros(token.created),
        "expires": micros_or_none(token.expires),
        "last_used": micros_or_none(token.last_used),
        "scopes": _BETWEEN.join(map(str, token.scopes)),
        "nodes": token.nodes,
        "previous_digest": token.previous_digest or None,
        "previous_ends": micros_or_none(token.previous_ends),
    }
