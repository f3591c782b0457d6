"""The table of all routes of the API."""

from collections.abc import Sequence

from cloud.rest.app_nodes import APP_NODE_ROUTES
from cloud.rest.apps import APP_ROUTES
from cloud.rest.audit import AUDIT_ROUTES
from cloud.rest.batches import BATCH_ROUTES
from cloud.rest.callbacks import CALLBACK_ROUTES
from cloud.rest.certificates import CERTIFICATE_ROUTES
from cloud.rest.channels import CHANNEL_ROUTES
from cloud.rest.commands import COMMAND_ROUTES
from cloud.rest.configs import CONFIG_ROUTES
from cloud.rest.custom_roles import ROLE_ROUTES
from cloud.rest.deploys import DEPLOY_ROUTES
from cloud.rest.events import EVENT_ROUTES
from cloud.rest.explain import EXPLAIN_ROUTES
from cloud.rest.guard import GUARD_ROUTES
from cloud.rest.installation import INSTALLATION_ROUTES
from cloud.rest.kinds import KIND_ROUTES
from cloud.rest.namespaces import NAMESPACE_ROUTES
from cloud.rest.nodes import NODE_ROUTES
from cloud.rest.notification_rules import NOTIFICATION_RULE_ROUTES
from cloud.rest.overview import OVERVIEW_ROUTES
from cloud.rest.properties import PROPERTY_ROUTES
from cloud.rest.records import RECORD_ROUTES
from cloud.rest.registries import REGISTRY_ROUTES
from cloud.rest.rollouts import ROLLOUT_ROUTES
from cloud.rest.route import ApiRoute
from cloud.rest.secrets import SECRET_ROUTES
from cloud.rest.system_apps import SYSTEM_APP_ROUTES
from cloud.rest.tokens import TOKEN_ROUTES
from cloud.rest.trends import TREND_ROUTES
from cloud.rest.user_sessions import USER_SESSION_ROUTES
from cloud.rest.users import USER_ROUTES

ROUTES: list[ApiRoute] = [
    *NODE_ROUTES,
    *EXPLAIN_ROUTES,
    *DEPLOY_ROUTES,
    *PROPERTY_ROUTES,
    *COMMAND_ROUTES,
    *APP_ROUTES,
    *APP_NODE_ROUTES,
    *ROLLOUT_ROUTES,
    *CONFIG_ROUTES,
    *SECRET_ROUTES,
    *REGISTRY_ROUTES,
    *SYSTEM_APP_ROUTES,
    *BATCH_ROUTES,
    *RECORD_ROUTES,
    *INSTALLATION_ROUTES,
    *CALLBACK_ROUTES,
    *CHANNEL_ROUTES,
    *NOTIFICATION_RULE_ROUTES,
    *CERTIFICATE_ROUTES,
    *GUARD_ROUTES,
    *EVENT_ROUTES,
    *OVERVIEW_ROUTES,
    *TREND_ROUTES,
    *NAMESPACE_ROUTES,
    *ROLE_ROUTES,
    *TOKEN_ROUTES,
    *USER_SESSION_ROUTES,
    *USER_ROUTES,
    *AUDIT_ROUTES,
    *KIND_ROUTES,
]


def register_routes(routes: Sequence[ApiRoute]) -> None:
    """Serve the *routes* of a kind too, beginning with the next server that is built."""
    ROUTES.extend(routes)
