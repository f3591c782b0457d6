"""Sessions of people and programs that an identity provider vouches for.

A session has a secret of its own, which works like an API token; only its digest is stored.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cloud.core.audit import Actor, ActorKind
from cloud.core.tokens import EVERYWHERE, USE_RECORDED_EVERY, Caller, Grants

SECRET_PREFIX = "eus_"  # noqa: S105
"""How the secret of a session begins: those of API tokens do not."""

SESSIONS_PER_USER = 50
"""Sessions of one user at the same time; the oldest ends for another one."""


class SessionKind(StrEnum):
    """How a session was begun: in a browser, on the command line, or for an exchanged token."""

    BROWSER = "browser"
    CLI = "cli"
    EXCHANGE = "exchange"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request is from, for the audit log."""

    address: str
    request_id: str


@dataclass(frozen=True, slots=True)
class User:
    """Who a provider vouches for: *subject* never changes there, *name* is for people."""

    provider: str
    subject: str
    name: str

    @property
    def actor(self) -> Actor:
        """The user as the audit log shows it."""
        return Actor(ActorKind.USER, self.name, EVERYWHERE)


@dataclass(frozen=True, slots=True)
class UserSession:
    """A session: *id* names it to people, *digest* is that of its secret.

    *last_used* is at most USE_RECORDED_EVERY too early. *address* is where it was begun.
    """

    id: str
    digest: str
    user: User
    kind: SessionKind
    grants: Grants
    created: datetime
    expires: datetime
    last_used: datetime
    address: str = ""

    @property
    def caller(self) -> Caller:
        """Who acts with it."""
        return Caller(self.grants, self.user.actor, self.id)

    def is_valid(self, now: datetime) -> bool:
        """Return whether it opens anything."""
        return now < self.expires

    def is_use_due(self, now: datetime) -> bool:
        """Return whether a use at *now* has to be recorded."""
        return now - self.last_used >= USE_RECORDED_EVERY


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just begun, and its secret."""

    session: UserSession
    secret: str = field(repr=False)

    @property
    def lifetime(self) -> timedelta:
        """How long it lasts."""
        return self.session.expires - self.session.created
