"""API tokens: created, listed, used and revoked."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from cloud.core.installation import digest_of
from cloud.core.listing import ListOptions, Page
from cloud.core.names import check_name, check_namespace
from cloud.core.tokens import EVERYWHERE, LONGEST_LIFETIME, ApiToken, Role
from cloud.errors import Denied, Invalid, NotFound
from cloud.store.transaction import Transaction


class TokenDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The specification of a new token; *namespace* None is the one the call is about."""

    name: str
    role: Role
    namespace: str | None = None
    expires: datetime | None = None


def create_token(
    tx: Transaction, namespace: str, draft: TokenDraft, secret: str, *, now: datetime
) -> ApiToken:
    """Let who shows *secret* in; Invalid if the namespace has a token of that name."""
    check_name("name", draft.name)
    check_token_namespace("namespace", namespace)
    expires = _checked_end(draft.expires, now)
    if any(token.name == draft.name for token in tx.api_tokens(namespace)):
        raise Invalid("name", "this name is already in use by a token of the namespace")
    token = ApiToken(namespace, draft.name, digest_of(secret), draft.role, now, expires)
    tx.put_api_token(token)
    return token


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
    token = tx.api_token(digest_of(secret))
    if token is None or not token.is_valid(now):
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
