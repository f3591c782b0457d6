"""What goes out."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response


def json_response(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with *value* as JSON; text stays UTF-8."""
    return Response(
        msgspec.json.encode(value), status, dict(headers or {}), media_type="application/json"
    )


def bytes_response(content: bytes) -> Response:
    """Answer with *content* as it is, to be kept in a file."""
    return Response(content, media_type="application/octet-stream")
