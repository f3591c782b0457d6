"""Roles of a namespace: created, deleted, and found for who has them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from cloud.core.custom_role import (
    ROLES_LIMIT,
    CustomRole,
    RoleSpec,
    check_role_name,
    checked_role_spec,
)
from cloud.core.grants import BUILT_IN, Grants, parse_grants
from cloud.core.kinds import ROLE
from cloud.core.listing import ListOptions
from cloud.core.permissions import ANY, Permission, built_in_permissions
from cloud.core.roles import Role
from cloud.core.tokens import EVERYWHERE
from cloud.errors import InUse, Invalid
from cloud.operations import resources
from cloud.store.transaction import Transaction

CustomRoles = Mapping[tuple[str, str], Sequence[Permission]]
"""Permissions of roles that are not built in, by namespace and name."""


def create_role(
    tx: Transaction, namespace: str, name: str, spec: RoleSpec, *, now: datetime
) -> CustomRole:
    """Add a role; Invalid for the name of a built-in one, and where there are too many."""
    check_role_name(name)
    if len(tx.resources(CustomRole, namespace)) >= ROLES_LIMIT:
        raise Invalid("name", f"the namespace has {ROLES_LIMIT} roles, the most it can have")
    where = (tx, CustomRole, namespace, name)
    return resources.create_resource(*where, spec, now=now, check=checked_role_spec)


def delete_role(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the role; InUse while a token of the namespace, or a local user, has it there."""
    users = [token.name for token in tx.api_tokens(namespace) if token.role == name]
    if users:
        shown = ", ".join(users[:5]) + (" and others" if len(users) > 5 else "")
        raise InUse("role", name, f"the tokens {shown}")
    # Users are of all namespaces: who is one is not shown to those who manage the roles of one.
    count = sum(
        any(grant.role == name for grant in parse_grants(user.grants[namespace]))
        for user in tx.list_local_users(ListOptions()).items
        if namespace in user.grants
    )
    if count:
        raise InUse("role", name, "1 local user" if count == 1 else f"{count} local users")
    resources.delete_resource(tx, ROLE, namespace, name)


def permissions_of_role(tx: Transaction, namespace: str, name: str) -> Sequence[Permission] | None:
    """The permissions of a built-in role, or of one of the *namespace*; None without one."""
    if name in BUILT_IN:
        return built_in_permissions(Role(name))
    if namespace == EVERYWHERE:
        return None
    found = tx.resource(CustomRole, namespace, name)
    return found.permissions if found else None


def permissions_to_cover(tx: Transaction, namespace: str, name: str) -> Sequence[Permission]:
    """What a caller has to be permitted who gives that role to others, or takes over who has it.

    Everything for a role that is gone: one of its name may be made again.
    """
    found = permissions_of_role(tx, namespace, name)
    return (Permission(ANY, ANY),) if found is None else found


def custom_roles_of(tx: Transaction, grants: Grants) -> CustomRoles:
    """The permissions of each role of *grants* that is not built in, by namespace and name."""
    return {
        (namespace, role): permissions_of_role(tx, namespace, role) or ()
        for namespace, role in _custom(grants)
    }


def _custom(grants: Grants) -> Iterable[tuple[str, str]]:
    return (
        (namespace, one.role)
        for namespace, text in grants.items()
        for one in parse_grants(text)
        if one.role not in BUILT_IN
    )
