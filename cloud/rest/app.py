"""The API server."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from cloud.http.app import PROTECTION, http_app
from cloud.rest.auth import TokenGate
from cloud.rest.dashboard.served import dashboard_routes
from cloud.rest.docs import docs_routes
from cloud.rest.health import health_routes
from cloud.rest.metrics import metrics_route
from cloud.rest.routes import ROUTES
from cloud.rest.services import Services
from cloud.rest.session import session_routes
from cloud.rest.sign_in.routes import (
    EXCHANGE,
    exchange_grant,
    local_sign_in_routes,
    sign_in_routes,
)
from cloud.rest.sign_in.token_routes import approval_routes, token_routes


def rest_app(services: Services) -> Starlette:
    """Build the server of the REST API, its description, the dashboard, `/health` and metrics."""
    services.metrics.limits.declare(
        *("channel_tests", "command_waits", "event_streams", "json_values"),
        *("device_logins", "labelled_nodes", "password_checks", "second_factors"),
        *("sign_ins", "user_codes", "yaml_values"),
    )
    app = http_app(
        [
            *(route.served for route in ROUTES),
            *docs_routes(version=services.version),
            *health_routes(services.checks, version=services.version, reports=services.reports),
            *session_routes(
                services.authenticator,
                services.sessions,
                default_namespace=services.default_namespace,
                trusted_proxies=services.trusted_proxies,
            ),
            *_sign_in_routes(services),
            *dashboard_routes(),
            metrics_route(services.metrics),
        ],
        new_id=services.new_id,
        trusted_proxies=services.trusted_proxies,
        metrics=services.metrics,
        listener="api",
        middleware=[
            Middleware(TokenGate, authenticator=services.authenticator, sessions=services.sessions)
        ],
        headers=PROTECTION,
    )
    app.state.services = services
    return app


def _sign_in_routes(services: Services) -> Sequence[Route]:
    identity, proxies = services.identity, services.trusted_proxies
    local = local_sign_in_routes(
        services.local_sign_in,
        services.sessions,
        identity.providers if identity else (),
        clock=services.clock,
        trusted_proxies=proxies,
    )
    approvals = approval_routes(services.command_line, services.authenticator, services.sessions)
    tokens = token_routes(
        services.command_line,
        services.authenticator,
        {EXCHANGE: exchange_grant(identity, services.authenticator)} if identity else {},
        trusted_proxies=proxies,
    )
    if identity is None:
        return [*local, *approvals, *tokens]
    providers = sign_in_routes(identity, services.sessions, trusted_proxies=proxies)
    return [*local, *approvals, *tokens, *providers]
