"""Responses."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

EVENT_STREAM = "text/event-stream"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
PROBLEM = "application/problem+json"
YAML = "application/yaml"
YAML_TYPES = frozenset({YAML, "application/x-yaml", "text/yaml"})
"""Names of it: the registered one (RFC 9512), and those from before there was one."""


def json_response(
    value: Any,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = JSON,
) -> Response:
    """Answer with *value* as JSON; text stays UTF-8."""
    return Response(msgspec.json.encode(value), status, dict(headers or {}), media_type=media_type)


def json_text_response(text: bytes) -> Response:
    """Answer with *text*, which is JSON already."""
    return Response(text, media_type=JSON)


def not_modified_response(tag: str) -> Response:
    """Answer to who has what *tag* stands for already."""
    return Response(status_code=304, headers={"ETag": tag})


def bytes_response(content: bytes, *, media_type: str = "application/octet-stream") -> Response:
    """Answer with *content* as it is, to be kept in a file."""
    return Response(content, media_type=media_type)
