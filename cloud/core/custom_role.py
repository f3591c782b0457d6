"""Roles that administrators of a namespace describe: permissions under a name."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cloud.core.bounds import check_description
from cloud.core.grants import BUILT_IN
from cloud.core.kinds import ROLE
from cloud.core.permissions import Permission, parse_permission
from cloud.core.resource import VersionedResource
from cloud.errors import Invalid

ROLES_LIMIT = 100
"""Roles of one namespace, at most."""

PERMISSIONS_LIMIT = 100
"""Permissions of one role or token, at most."""


class RoleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The specification of a role; *permissions* are `VERB KIND` or `VERB KIND/NAME`."""

    permissions: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class CustomRole(VersionedResource[RoleSpec]):
    """A role as it is stored; *version* changes with every change of its content."""

    kind = ROLE

    @property
    def permissions(self) -> Sequence[Permission]:
        """What it permits."""
        return parse_permissions("permissions", self.spec.permissions)


def parse_permissions(field: str, texts: Sequence[str]) -> Sequence[Permission]:
    """The permissions *texts*; Invalid for too many, and names the one that cannot be read."""
    if len(texts) > PERMISSIONS_LIMIT:
        raise Invalid(field, f"more than the limit of {PERMISSIONS_LIMIT}")
    return tuple(parse_permission(f"{field}[{number}]", text) for number, text in enumerate(texts))


def checked_role_spec(spec: RoleSpec) -> RoleSpec:
    """Return *spec* if it is one of a role; Invalid names the field."""
    if not spec.permissions:
        raise Invalid("permissions", "names no permissions")
    parse_permissions("permissions", spec.permissions)
    check_description(spec.description)
    return spec


def check_role_name(name: str) -> None:
    """Invalid if *name* is that of a built-in role."""
    if name.lower() in BUILT_IN:
        raise Invalid("name", f"{name} is a built-in role")
