"""Roles: rows of the route table."""

from collections.abc import Sequence

import msgspec

from cloud.answers.custom_roles import RoleAnswer
from cloud.core.custom_role import CustomRole, RoleSpec, parse_permissions
from cloud.core.times import time_text
from cloud.operations.kinds import ROLES
from cloud.rest.auth import caller_of
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.crud import Crud, crud_routes
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction


def _check(context: RequestContext, spec: RoleSpec) -> None:
    """Forbidden for a role that may do what the caller may not."""
    permissions = parse_permissions("permissions", spec.permissions)
    caller_of(context.request).check_covers(permissions, context.namespace)


def _answer(_: RequestContext, role: CustomRole) -> RoleAnswer:
    return RoleAnswer(
        name=role.name,
        namespace=role.namespace,
        **msgspec.structs.asdict(role.spec),
        version=role.version,
        create_time=time_text(role.created),
        update_time=time_text(role.updated),
    )


def _respond(
    context: RequestContext, _: Transaction, role: CustomRole
) -> ResourceResponse[RoleAnswer]:
    return ResourceResponse(_answer(context, role), role)


ROLE_ROUTES: Sequence[ApiRoute] = crud_routes(
    Crud(ROLES, _answer, RoleAnswer, _respond, RoleAnswer, check=_check)
)
