"""Errors as answers: `{"code", "message", "request-id"}` and a status.

Where it is known what in the request is wrong `field` has its path; `line` and `column` are where
that stands in a body of YAML.
Clients that accept `application/problem+json` get a problem (RFC 9457).
"""

import math
from collections.abc import Mapping
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response

from cloud.errors import (
    Activated,
    CallbackInUse,
    CloudError,
    ConfirmationRequired,
    Conflict,
    Denied,
    Expired,
    Forbidden,
    HasRecords,
    HeadTooLarge,
    InUse,
    Invalid,
    NotFound,
    PreconditionFailed,
    RolloutConflict,
    SecretUnreadable,
    TooLarge,
    TooManyCommands,
    TooManyRequests,
    TooSlow,
    Unavailable,
    UnknownMediaType,
)
from cloud.http.answers import MERGE_PATCH, PROBLEM, json_response
from cloud.http.negotiation import prefers_problem

ErrorContext = Mapping[str, str | int]
"""Fields of every error: its `request-id`, perhaps also the `time`."""

STATUSES: Mapping[type[CloudError], int] = {
    Invalid: 400,
    TooLarge: 413,
    HeadTooLarge: 431,
    TooSlow: 408,
    UnknownMediaType: 415,
    Expired: 410,
    Denied: 401,
    Forbidden: 403,
    NotFound: 404,
    InUse: 403,
    HasRecords: 400,
    CallbackInUse: 400,
    Activated: 400,
    Conflict: 409,
    TooManyCommands: 409,
    RolloutConflict: 409,
    PreconditionFailed: 412,
    ConfirmationRequired: 409,
    TooManyRequests: 429,
    SecretUnreadable: 503,
    Unavailable: 503,
}
"""Status of each error; a class that is not here has that of its nearest base."""

_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    415: {"Accept-Patch": MERGE_PATCH},
    503: {"Retry-After": "1"},
}


def status_of(error: CloudError) -> int:
    """HTTP status for *error*."""
    return next((STATUSES[base] for base in type(error).__mro__ if base in STATUSES), 500)


def error_response(error: CloudError, context: ErrorContext, headers: Headers) -> Response:
    """Response for *error*, in the media type that the request's *headers* accept."""
    members = {**_place_of(error), **context}
    response = _response(status_of(error), error.code, str(error), members, headers)
    if isinstance(error, TooManyRequests):
        # Whole seconds (RFC 9110, section 10.2.3), and never too early.
        response.headers["Retry-After"] = str(math.ceil(error.wait))
    return response


def unknown_route_response(context: ErrorContext, headers: Headers) -> Response:
    """Answer to a path or a method that does not exist."""
    reason = "There is no such path, or not with this method."
    return _response(404, "RequestMethodNotFound", reason, context, headers)


def bad_request_response(
    status: int, reason: str, context: ErrorContext, headers: Headers
) -> Response:
    """Answer to a request the framework could not make sense of."""
    return _response(status, Invalid.code, reason, context, headers)


def unknown_error_response(context: ErrorContext, headers: Headers) -> Response:
    """Answer when the server itself is at fault; the reason is in its log, by request id."""
    return _response(500, CloudError.code, "The server could not do this.", context, headers)


def _place_of(error: CloudError) -> Mapping[str, str | int]:
    """Fields with the place of the error in the request, if known."""
    known = {
        "field": getattr(error, "field", ""),
        "line": getattr(error, "line", 0),
        "column": getattr(error, "column", 0),
    }
    return {name: value for name, value in known.items() if value}


def _response(
    status: int, code: str, message: str, context: ErrorContext, headers: Headers
) -> Response:
    sent = {"Vary": "Accept", **_HEADERS.get(status, {})}
    if prefers_problem(headers.getlist("accept")):
        problem = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": message,
            "code": code,
            **context,
        }
        return json_response(problem, status=status, headers=sent, media_type=PROBLEM)
    body = {"code": code, "message": message, **context}
    return json_response(body, status=status, headers=sent)
