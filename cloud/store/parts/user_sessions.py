"""Sessions that identity providers vouch for."""

from datetime import datetime

import msgspec

from cloud.core.listing import ListOptions, Page
from cloud.core.user_sessions import SESSIONS_PER_USER, SessionKind, User, UserSession
from cloud.store.parts.part import TransactionPart, first, page_bounds, page_of
from cloud.store.rows import Parameters, Row, micros, moment
from cloud.store.statements import fragment, joined, statement

_COLUMNS = """id, digest, provider, subject, name, kind, grants, created, expires, last_used,
        address"""
USER_SESSION = statement(
    f"SELECT {_COLUMNS} FROM user_session WHERE digest = :digest",  # noqa: S608
    reads={"user_session"},
)
USER_SESSION_BY_ID = statement(
    f"SELECT {_COLUMNS} FROM user_session WHERE id = :id",  # noqa: S608
    reads={"user_session"},
)
_OF_USER = fragment(
    """
    FROM user_session
    WHERE (:provider = '' OR (provider = :provider AND subject = :subject)) AND expires > :now
    """,
    reads={"user_session"},
)
USER_SESSIONS_PAGE = joined(
    fragment(f"SELECT {_COLUMNS}"),
    _OF_USER,
    fragment(
        """
        AND (created, id) > (:after, :after_name) ORDER BY created, id LIMIT :limit
        """
    ),
)
COUNT_USER_SESSIONS = joined(fragment("SELECT count(*)"), _OF_USER)
PUT_USER_SESSION = statement(
    f"""
    INSERT INTO user_session ({_COLUMNS})
    VALUES (:id, :digest, :provider, :subject, :name, :kind, :grants, :created, :expires,
        :last_used, :address)
    ON CONFLICT (id) DO UPDATE SET last_used = excluded.last_used
    """,  # noqa: S608
    writes={"user_session"},
)
DELETE_USER_SESSION = statement(
    "DELETE FROM user_session WHERE id = :id RETURNING id",
    writes={"user_session"},
)
DELETE_SESSIONS_OF_USER = statement(
    """
    DELETE FROM user_session WHERE provider = :provider AND subject = :subject RETURNING id
    """,
    writes={"user_session"},
)
DELETE_PAST_USER_SESSIONS = statement(
    "DELETE FROM user_session WHERE expires <= :now",
    writes={"user_session"},
)
DELETE_OLDEST_OF_USER = statement(
    """
    DELETE FROM user_session WHERE id IN (
        SELECT id FROM user_session WHERE provider = :provider AND subject = :subject
        ORDER BY created DESC, id DESC LIMIT 1000000 OFFSET :kept
    )
    """,
    reads={"user_session"},
    writes={"user_session"},
)


class UserSessionPart(TransactionPart):
    """Sessions of users of identity providers."""

    def user_session(self, digest: str) -> UserSession | None:
        """The session whose secret has that digest; it may have expired."""
        return first(_session_of, self._run(USER_SESSION, {"digest": digest}))

    def user_session_by_id(self, own_id: str) -> UserSession | None:
        """The session with that id; it may have expired."""
        return first(_session_of, self._run(USER_SESSION_BY_ID, {"id": own_id}))

    def list_user_sessions(
        self, user: User | None, options: ListOptions, now: datetime
    ) -> Page[UserSession]:
        """Sessions that are valid at *now*, of one *user* or of all; no selectors."""
        key: Parameters = {
            "provider": user.provider if user else "",
            "subject": user.subject if user else "",
            "now": micros(now),
        }
        rows = self._run(USER_SESSIONS_PAGE, {**key, **page_bounds(options)})
        total: int = self._run(COUNT_USER_SESSIONS, key)[0][0]
        found = [_session_of(row) for row in rows]
        return page_of(found, total, options.limit, lambda one: (one.created, one.id))

    def put_user_session(self, session: UserSession) -> None:
        """Keep a session, and end the oldest of its user beyond SESSIONS_PER_USER."""
        self._run(DELETE_PAST_USER_SESSIONS, {"now": micros(session.created)})
        user: Parameters = {"provider": session.user.provider, "subject": session.user.subject}
        row: Parameters = {
            **user,
            "id": session.id,
            "digest": session.digest,
            "name": session.user.name,
            "kind": session.kind.value,
            "grants": msgspec.json.encode(session.grants).decode(),
            "created": micros(session.created),
            "expires": micros(session.expires),
            "last_used": micros(session.last_used),
            "address": session.address,
        }
        self._run(PUT_USER_SESSION, row)
        self._run(DELETE_OLDEST_OF_USER, {**user, "kept": SESSIONS_PER_USER})

    def delete_user_session(self, own_id: str) -> bool:
        """End a session."""
        return bool(self._run(DELETE_USER_SESSION, {"id": own_id}))

    def delete_sessions_of(self, user: User) -> int:
        """End all sessions of *user*; how many there were."""
        key: Parameters = {"provider": user.provider, "subject": user.subject}
        return len(self._run(DELETE_SESSIONS_OF_USER, key))


def _session_of(row: Row) -> UserSession:
    own_id, digest, provider, subject, name, kind, grants, created, expires, used, address = row
    return UserSession(
        own_id,
        digest,
        User(provider, subject, name),
        SessionKind(kind),
        msgspec.json.decode(grants, type=dict[str, str]),
        moment(created),
        moment(expires),
        moment(used),
        address,
    )
