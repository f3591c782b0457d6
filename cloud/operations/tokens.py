"""API tokens: created, listed, used and revoked."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from cloud.core.custom_role import parse_permissions
from cloud.core.durations import parse_duration
from cloud.core.grants import check_grant_nodes
from cloud.core.installation import digest_of
from cloud.core.listing import ListOptions, Page
from cloud.core.names import check_name, check_namespace
from cloud.core.tokens import (
    EVERYWHERE,
    LONGEST_LIFETIME,
    LONGEST_OVERLAP,
    ApiToken,
    Caller,
)
from cloud.errors import Denied, Invalid, NotFound
from cloud.operations.custom_roles import permissions_of_role, permissions_to_cover
from cloud.store.transaction import Transaction


class TokenDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The specification of a new token; *namespace* None is the one the call is about.

    *permissions* are what its role is narrowed to; none narrow nothing. *nodes* selects the nodes
    that it is limited to.
    """

    name: str
    role: str
    namespace: str | None = None
    expires: datetime | None = None
    permissions: tuple[str, ...] = ()
    nodes: str = ""


class TokenRotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a token gets another secret: the one it has is valid for *overlap* (`1h`) longer."""

    overlap: str = "0"
    expires: datetime | None = None


def create_token(
    tx: Transaction,
    caller: Caller,
    namespace: str,
    draft: TokenDraft,
    secret: str,
    *,
    now: datetime,
) -> ApiToken:
    """Let who shows *secret* in; Invalid if the namespace has a token of that name.

    Forbidden for a token that may do what the *caller* may not.
    """
    check_name("name", draft.name)
    check_token_namespace("namespace", namespace)
    expires = _checked_end(draft.expires, now)
    scopes = tuple(parse_permissions("permissions", draft.permissions))
    if any(token.name == draft.name for token in tx.api_tokens(namespace)):
        raise Invalid("name", "this name is already in use by a token of the namespace")
    token = ApiToken(
        namespace,
        draft.name,
        digest_of(secret),
        draft.role,
        now,
        expires,
        scopes=scopes,
        nodes=check_grant_nodes("nodes", draft.nodes),
    )
    if permissions_of_role(tx, namespace, draft.role) is None:
        place = "for all namespaces" if namespace == EVERYWHERE else f"in namespace {namespace}"
        raise Invalid("role", f"there is no role {draft.role[:80]!r} {place}")
    _check_covers(tx, caller, token)
    tx.put_api_token(token)
    return token


def rotate_token(
    tx: Transaction,
    caller: Caller,
    namespace: str,
    name: str,
    rotation: TokenRotation,
    secret: str,
    *,
    now: datetime,
) -> ApiToken:
    """Let who shows *secret* in with the token *name*, and who shows its last one for a while.

    A secret that is older than the last one opens nothing any more. Forbidden for a token that may
    do what the *caller* may not; NotFound if there is none.
    """
    check_token_namespace("namespace", namespace)
    overlap = parse_duration("overlap", rotation.overlap)
    if overlap > LONGEST_OVERLAP:
        raise Invalid("overlap", f"is longer than {LONGEST_OVERLAP.days} days")
    found = next((token for token in tx.api_tokens(namespace) if token.name == name), None)
    if found is None:
        raise NotFound("token", name)
    _check_covers(tx, caller, found)
    expires = _checked_end(rotation.expires, now) or found.expires
    if expires is not None and expires <= now:
        raise Invalid("expires", "the token has expired: state when it expires from now on")
    # No secret of an expired token becomes valid again.
    ends = now + overlap if found.is_valid(now) else now
    if found.expires is not None:
        ends = min(ends, found.expires)
    token = replace(
        found,
        digest=digest_of(secret),
        expires=expires,
        previous_digest=found.digest,
        previous_ends=max(ends, now),
    )
    tx.put_api_token(token)
    return token


def _check_covers(tx: Transaction, caller: Caller, token: ApiToken) -> None:
    """Forbidden unless the *caller* may do everything that who has the *token* may."""
    role = permissions_to_cover(tx, token.namespace, token.role)
    if not all(caller.may(one, token.namespace) for one in role):
        caller.check_covers(token.scopes or role, token.namespace)


def list_tokens(tx: Transaction, namespace: str, options: ListOptions) -> Page[ApiToken]:
    """Tokens of the namespace, those that have expired too; EVERYWHERE shows all there are."""
    check_token_namespace("namespace", namespace)
    if options.selector or options.field_selector:
        raise Invalid("selector" if options.selector else "fieldSelector", "tokens have none")
    return tx.list_api_tokens(namespace, options)


def revoke_token(tx: Transaction, namespace: str, name: str) -> None:
    """Let the token open nothing any more; the name is free again."""
    check_token_namespace("namespace", namespace)
    if not tx.delete_api_token(namespace, name):
        raise NotFound("token", name)


def valid_token(tx: Transaction, secret: str, *, now: datetime) -> ApiToken:
    """The token that *secret* is; Denied, without a reason, if it is not valid (any more)."""
    digest = digest_of(secret)
    return valid(tx.api_token(digest), digest, now=now)


def valid(token: ApiToken | None, digest: str, *, now: datetime) -> ApiToken:
    """Return the *token*, found by the *digest* of a secret; Denied, without a reason, as above."""
    if token is None or not token.is_valid(now, digest):
        raise Denied("the token is not valid")
    return token


def record_use(tx: Transaction, secret: str, *, now: datetime) -> None:
    """Remember that the token was used at *now*, if that is due; Denied as by `valid_token`."""
    token = valid_token(tx, secret, now=now)
    if token.is_use_due(now):
        tx.put_api_token(replace(token, last_used=now))


def check_token_namespace(field: str, namespace: str) -> str:
    """Return *namespace* if a token may be for it: EVERYWHERE or a valid one, else Invalid."""
    return namespace if namespace == EVERYWHERE else check_namespace(field, namespace)


def _checked_end(expires: datetime | None, now: datetime) -> datetime | None:
    if expires is None:
        return None
    if expires.tzinfo is None:
        raise Invalid("expires", "has no time zone")
    if not now < expires <= now + LONGEST_LIFETIME:
        raise Invalid("expires", f"is not within {LONGEST_LIFETIME.days} days from now")
    return expires.astimezone(UTC)
