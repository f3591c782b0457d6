"""The administrator's token, for emergencies: rotated, switched off and on by a command."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """Whether the administrator's token is accepted, and which one, on all servers of a database.

    *digest* is the SHA-256 of the token; empty until it is rotated: then each server accepts the
    one of its `admin.token`. *changed* is when a command last changed something.
    """

    digest: str
    is_enabled: bool
    changed: datetime | None = None


INITIAL_ACCESS = AdminAccess("", is_enabled=True)
"""Of a database in which no command has changed it."""
