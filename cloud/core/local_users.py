"""Users that the server itself keeps, where there is no identity provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cloud.core.grants import BUILT_IN, Grants, check_grant_nodes, parse_grants
from cloud.core.names import check_namespace, check_own_name
from cloud.core.tokens import EVERYWHERE
from cloud.core.user_sessions import User
from cloud.errors import Invalid

LOCAL = "local"
"""The provider of their sessions."""

RESERVED = frozenset({LOCAL, "token", "device", "authorize", "approval"})
"""No identity provider may have these names: they stand below `/login`."""

SESSION_TIME = timedelta(hours=12)
"""How long a session of a local user lasts."""

USERS_LIMIT = 10_000
GRANTS_LIMIT = 100
"""Namespaces in which one user has a role, at most."""

ROLES_LIMIT = 10
"""Roles of one user in a namespace, at most."""

PASSWORD_LEAST, PASSWORD_LIMIT = 12, 256
"""Characters of a password (NIST SP 800-63B, 5.1.1.2: length, and no rules of composition)."""

STEP_SECONDS = 30
"""How long a code of the second factor is shown (RFC 6238)."""

STEPS_AROUND = 1
"""Steps before and after the present one whose codes are accepted, for clocks that differ."""


@dataclass(frozen=True, slots=True)
class LocalUser:
    """A user with a password: *id* is never used again, *password* its argon2id hash.

    *totp* is the secret of the second factor in base32, empty without one; *totp_step* the last
    step whose code was used: no code of it or an earlier one is accepted again.
    """

    name: str
    id: str
    password: str = field(repr=False)
    grants: Grants
    created: datetime
    updated: datetime
    is_disabled: bool = False
    totp: str = field(default="", repr=False)
    totp_step: int = 0

    namespace: str = EVERYWHERE
    """It is in no namespace."""

    @property
    def user(self) -> User:
        """The user as sessions and the audit log show it."""
        return User(LOCAL, self.id, f"{LOCAL}:{self.name}")

    def described(self) -> Mapping[str, Any]:
        """The user as the audit log shows it."""
        return {
            "grants": dict(self.grants),
            "disabled": self.is_disabled,
            "totp": bool(self.totp),
            "updated": self.updated,
        }


def check_password(field_name: str, password: str, name: str) -> None:
    """Invalid for a password that is too short or too long, or that is the name of the user."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_LIMIT:
        raise Invalid(
            field_name, f"has not between {PASSWORD_LEAST} and {PASSWORD_LIMIT} characters"
        )
    if name.lower() in password.lower() and len(password) < 2 * len(name):
        raise Invalid(field_name, "is little more than the name of the user")


def check_grants(field_name: str, grants: Grants) -> None:
    """Invalid for grants that are empty, too many, or of what is no namespace or role."""
    if not 1 <= len(grants) <= GRANTS_LIMIT:
        raise Invalid(field_name, f"are not between 1 and {GRANTS_LIMIT}")
    for namespace, text in grants.items():
        if namespace != EVERYWHERE:
            check_namespace(field_name, namespace)
        own = parse_grants(text)
        for grant in own:
            if grant.role not in BUILT_IN:
                check_own_name(field_name, grant.role)
            check_grant_nodes(field_name, grant.nodes)
        if len(own) > ROLES_LIMIT or "; ".join(map(str, own)) != text:
            raise Invalid(field_name, f"{text[:80]!r} is not ROLE, ROLE on SELECTOR or several")


def steps_around(now: datetime) -> range:
    """The steps whose codes are accepted at *now*."""
    step = int(now.timestamp()) // STEP_SECONDS
    return range(step - STEPS_AROUND, step + STEPS_AROUND + 1)
