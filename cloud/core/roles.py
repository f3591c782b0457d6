"""The built-in roles."""

from enum import StrEnum


class Role(StrEnum):
    """The rights of a caller, each role with all of the one before it.

    A viewer reads what holds no credentials; what an operator may not do is in `permissions`.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Return whether who has this role may do what *other* may."""
        ranks = tuple(Role)
        return ranks.index(self) >= ranks.index(other)
