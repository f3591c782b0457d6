"""Sessions with a new secret, for each way to sign in."""

import secrets
from datetime import datetime, timedelta

from cloud.core.grants import Grants
from cloud.core.installation import digest_of
from cloud.core.user_sessions import (
    SECRET_PREFIX,
    NewSession,
    Origin,
    SessionKind,
    User,
    UserSession,
)


def new_session_secret() -> str:
    """A secret with 256 random bits."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def make_session(
    session_id: str,
    user: User,
    kind: SessionKind,
    grants: Grants,
    origin: Origin,
    *,
    now: datetime,
    lifetime: timedelta,
) -> NewSession:
    """A session of *user* that begins *now* and has a secret of its own; not stored yet."""
    secret = new_session_secret()
    session = UserSession(
        session_id,
        digest_of(secret),
        user,
        kind,
        grants,
        created=now,
        expires=now + lifetime,
        last_used=now,
        address=origin.address,
    )
    return NewSession(session, secret)
