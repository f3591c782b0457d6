"""Errors as answers: `{"code", "message", "request-id"}` and a status."""

from collections.abc import Mapping

from starlette.responses import Response

from cloud.errors import (
    Activated,
    CloudError,
    Conflict,
    Denied,
    Expired,
    Forbidden,
    HasRecords,
    InUse,
    Invalid,
    NotFound,
    TooLarge,
    Unavailable,
)
from cloud.http.answers import json_response

STATUSES: Mapping[type[CloudError], int] = {
    Invalid: 400,
    TooLarge: 413,
    Expired: 410,
    Denied: 401,
    Forbidden: 403,
    NotFound: 404,
    InUse: 403,
    HasRecords: 400,
    Activated: 400,
    Conflict: 409,
    Unavailable: 503,
}
"""Status of each error; a class that is not here has that of its nearest base."""

_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": "1"},
}


def status_of(error: CloudError) -> int:
    """HTTP status for *error*."""
    return next((STATUSES[base] for base in type(error).__mro__ if base in STATUSES), 500)


def error_response(error: CloudError, request_id: str) -> Response:
    """Answer that says what was wrong."""
    return _response(status_of(error), error.code, str(error), request_id)


def unknown_route_response(request_id: str) -> Response:
    """Answer to a path or a method that does not exist."""
    return _response(
        404, "RequestMethodNotFound", "There is no such path, or not with this method.", request_id
    )


def bad_request_response(status: int, reason: str, request_id: str) -> Response:
    """Answer to a request the framework could not make sense of."""
    return _response(status, Invalid.code, reason, request_id)


def unknown_error_response(request_id: str) -> Response:
    """Answer when the server itself is at fault; the reason is in its log, by request id."""
    return _response(500, CloudError.code, "The server could not do this.", request_id)


def _response(status: int, code: str, message: str, request_id: str) -> Response:
    body = {"code": code, "message": message, "request-id": request_id}
    return json_response(body, status=status, headers=_HEADERS.get(status))
