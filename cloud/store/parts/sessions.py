"""Sessions that were ended before their expiry."""

from datetime import datetime

from cloud.store.parts.part import TransactionPart
from cloud.store.rows import micros
from cloud.store.statements import statement

ENDED_SESSION = statement(
    "SELECT 1 FROM ended_session WHERE digest = :digest",
    reads={"ended_session"},
)
PUT_ENDED_SESSION = statement(
    """
    INSERT INTO ended_session (digest, ends) VALUES (:digest, :ends)
    ON CONFLICT (digest) DO UPDATE SET ends = excluded.ends
    """,
    writes={"ended_session"},
)
DELETE_PAST_SESSIONS = statement(
    "DELETE FROM ended_session WHERE ends <= :now",
    writes={"ended_session"},
)


class SessionPart(TransactionPart):
    """Sessions of browsers."""

    def has_ended_session(self, digest: str) -> bool:
        """Return whether the session was ended by `end_session`, as long as its cookie is good."""
        return bool(self._run(ENDED_SESSION, {"digest": digest}))

    def end_session(self, digest: str, *, ends: datetime, now: datetime) -> None:
        """Remember until it *ends* by itself that the session is over; the others are forgotten."""
        self._run(DELETE_PAST_SESSIONS, {"now": micros(now)})
        self._run(PUT_ENDED_SESSION, {"digest": digest, "ends": micros(ends)})
