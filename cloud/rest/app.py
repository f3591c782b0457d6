"""The API server."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from cloud.core.revisions import REVISIONS_KEPT
from cloud.core.usage import DEFAULT_USAGE_STEP
from cloud.http.addresses import Network
from cloud.http.app import PROTECTION, http_app
from cloud.http.metrics import Metrics
from cloud.http.notifier import Notifier
from cloud.http.refusals import RefusalLog
from cloud.rest.auth import TokenGate
from cloud.rest.call import Api, endpoint
from cloud.rest.callers import NO_LIMITS, Callers, CallLimits
from cloud.rest.continuation import Continuations
from cloud.rest.costly import Costly
from cloud.rest.dashboard.served import dashboard_routes
from cloud.rest.docs import docs_routes
from cloud.rest.event_stream import EventStreams
from cloud.rest.health import Check, Report, health_routes
from cloud.rest.metrics import metrics_route
from cloud.rest.routes import ROUTES
from cloud.rest.session import session_routes
from cloud.rest.sessions import Sessions
from cloud.store.interface import Store


def rest_app(
    store: Store,
    *,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    admin_token_digest: bytes,
    default_namespace: str,
    on_revoked: Callable[[str], None],
    is_connected: Callable[[str], bool | None],
    wake_callbacks: Callable[[], None],
    checks: Mapping[str, Check],
    reports: Mapping[str, Report] = {},
    version: str,
    new_token: Callable[[], str],
    install_command: Callable[[str], str],
    function_runtimes: Mapping[str, str],
    list_key: bytes,
    session_key: bytes,
    limits: CallLimits = NO_LIMITS,
    refusals: RefusalLog,
    metrics: Metrics,
    streams: EventStreams,
    wake_commands: Callable[[], None] = lambda: None,
    notifier: Notifier | None = None,
    trusted_proxies: Sequence[Network] = (),
    can_sign: bool = True,
    usage_step: timedelta = DEFAULT_USAGE_STEP,
    revisions_kept: int = REVISIONS_KEPT,
) -> Starlette:
    """Build the server of the open API, of what describes it, and of `/health` and its like.

    *new_id* makes ids without dashes; *admin_token_digest* is the SHA-256 of the token that may do
    everything, beside those in the store; *on_revoked* is called with a node's id after its
    certificates were taken back, *wake_callbacks* when there is something to tell them,
    *wake_commands* when there is something to ask a node for; *notifier* ends that wait;
    *is_connected* says of a node's id whether it has a connection, None where nobody knows;
    *checks* are what `/readyz` asks, by name, *reports* what it also says when it is verbose.
    *new_token* makes secrets: tokens, and those that
    *install_command* makes a command of, to be pasted into the shell of a machine.
    *function_runtimes* maps the runtimes of functions to their images;
    *can_sign* says whether nodes can be given URLs of objects that need keys.
    *revisions_kept* says how many each thing has that has any.
    *list_key* signs the tokens that lead from page to page, *session_key* (32 bytes) seals the
    cookies of who signs in. *limits* count callers, by address
    where they show no token; *refusals* go into the audit log; *trusted_proxies* are
    believed about addresses. *metrics* are what `/metrics` tells, *streams* those of events;
    *usage_step* is the time between points of usage.
    """
    api = Api(
        clock,
        new_id,
        default_namespace,
        on_revoked,
        is_connected,
        wake_callbacks,
        wake_commands,
        notifier or Notifier(),
        new_token=new_token,
        install_command=install_command,
        function_runtimes=function_runtimes,
        can_sign=can_sign,
        continuations=Continuations(list_key),
        streams=streams,
        usage_step=usage_step,
        revisions_kept=revisions_kept,
        costly=Costly(clock),
    )
    metrics.limits.declare("json_values", "yaml_values")
    callers = Callers(admin_token_digest, store, clock, limits, refusals)
    sessions = Sessions(session_key)
    routes = [
        Route(
            route.path,
            endpoint(
                api,
                store,
                route.handler,
                described=route.described,
                needs=route.role,
                action=route.action,
                refusals=refusals,
                limits=metrics.limits,
            ),
            methods=[route.method],
        )
        for route in ROUTES
    ]
    return http_app(
        [
            *routes,
            *docs_routes(version=version),
            *health_routes(checks, version=version, reports=reports),
            *session_routes(
                callers,
                sessions,
                default_namespace=default_namespace,
                trusted_proxies=trusted_proxies,
            ),
            *dashboard_routes(),
            metrics_route(metrics),
        ],
        new_id=new_id,
        trusted_proxies=trusted_proxies,
        metrics=metrics,
        listener="api",
        middleware=[Middleware(TokenGate, callers=callers, sessions=sessions)],
        headers=PROTECTION,
    )
