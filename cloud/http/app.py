"""A web server: routes in, an application out that answers every request in the same way."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.errors import CloudError
from cloud.http.addresses import Network
from cloud.http.errors import (
    bad_request_response,
    error_response,
    status_of,
    unknown_error_response,
    unknown_route_response,
)
from cloud.http.logs import log_under, shown
from cloud.http.metrics import LimitRefusals, Metrics, RequestMetrics
from cloud.http.requests import (
    REQUEST_ID_HEADER,
    address_key_of,
    error_context,
    set_address,
    set_error_context,
    set_request_id,
)

logger = logging.getLogger(__name__)

PROTECTION: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers for browsers: no guessing of content types, no embedding and no access by other sites.
"""


def http_app(
    routes: Sequence[Route],
    *,
    new_id: Callable[[], str],
    trusted_proxies: Sequence[Network] = (),
    middleware: Sequence[Middleware] = (),
    clock: Callable[[], datetime] | None = None,
    metrics: Metrics | None = None,
    listener: str = "",
    headers: Mapping[str, str] | None = None,
) -> Starlette:
    """Build a server of *routes*; handlers and *middleware* just raise a CloudError.

    Every answer bears the request's id (`new_id` makes one where the caller sent none);
    *trusted_proxies* are believed where a request came from. A path or method that is not there is
    a 404 in the shape of all errors; an unexpected exception is logged and a 500 without details.
    Where there is a *clock* errors have the time, for callers that do not know it. Requests are
    counted in *metrics*, as those of *listener*. Every answer bears *headers* too, unless it has
    one of that name itself.
    """
    paths = {route.endpoint: route.path for route in reversed(routes)}
    measured = (
        [Middleware(RequestMetrics, metrics=metrics, listener=listener, routes=paths)]
        if metrics
        else []
    )
    if metrics:
        metrics.limits.declare("requests", "denials", "request_bytes")
    app = Starlette(
        routes=routes,
        middleware=[
            *measured,
            Middleware(
                _Answering,
                new_id=new_id,
                trusted_proxies=trusted_proxies,
                clock=clock,
                headers=headers or {},
                limits=metrics.limits if metrics else None,
            ),
            *middleware,
        ],
        exception_handlers={HTTPException: _refused_by_framework},
    )
    app.router.redirect_slashes = False
    return app


async def _refused_by_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code in {404, 405}:
        return unknown_route_response(error_context(request.scope), request.headers)
    return bad_request_response(
        error.status_code, error.detail, error_context(request.scope), request.headers
    )


def _log_answer(scope: Scope, status: int) -> None:
    """One line for each answer; at INFO where the caller may come and ask why."""
    level = logging.INFO if status >= 400 else logging.DEBUG
    logger.log(level, "%s '%s' answered %d", scope["method"], shown(scope["path"]), status)


class _Answering:
    """Gives each request its id and address, and an answer whatever happens to it."""

    def __init__(
        self,
        app: ASGIApp,
        new_id: Callable[[], str],
        trusted_proxies: Sequence[Network],
        clock: Callable[[], datetime] | None,
        headers: Mapping[str, str],
        limits: LimitRefusals | None,
    ) -> None:
        self.app = app
        self.limits = limits
        # What each answer bears, encoded; names in lower case.
        self.headers = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
        self.new_id = new_id
        self.trusted_proxies = trusted_proxies
        self.clock = clock

    def _note(self, error: CloudError) -> None:
        if error.bound and self.limits is not None:
            self.limits.count(error.bound)
        if status_of(error) >= 500:
            logger.warning("%r", error, exc_info=error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        identity = set_request_id(scope, self.new_id)
        set_address(scope, self.trusted_proxies)
        log_under(identity, address_key_of(scope))
        headers = Headers(scope=scope)
        context = set_error_context(scope, self.clock)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _log_answer(scope, message["status"])
                own = list(message.get("headers", ()))
                names = {name for name, _ in own}
                more = [header for header in self.headers if header[0] not in names]
                header = (REQUEST_ID_HEADER.encode(), identity.encode())
                message["headers"] = [*own, *more, header]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            logger.debug("the caller went away")
        except CloudError as error:
            if started:
                raise
            self._note(error)
            await error_response(error, context, headers)(scope, receive, send_with_id)
        except Exception:
            logger.exception("%s '%s' failed", scope["method"], shown(scope["path"]))
            if started:
                raise
            await unknown_error_response(context, headers)(scope, receive, send_with_id)
