"""The files of the dashboard, read once; browsers revalidate theirs each time."""

import base64
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.errors import NotFound
from cloud.http.answers import not_modified_response
from cloud.http.routing import CheckedRoute

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The rights of the page in a browser: it runs and fetches from this server only."""

_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    tag: str


def dashboard_routes() -> list[Route]:
    """`/` and `/docs`, and what they need, below `/dashboard/`."""
    files = _all_files()

    async def page(request: Request) -> Response:
        return _answer(request, files["index.html"])

    async def reference(request: Request) -> Response:
        return _answer(request, files["docs.html"])

    async def file(request: Request) -> Response:
        path: str = request.path_params["path"]
        if path not in files:
            raise NotFound("file", path)
        return _answer(request, files[path])

    return [
        Route("/", page),
        CheckedRoute("/docs", reference),
        Route("/dashboard/{path:path}", file),
    ]


def _answer(request: Request, file: _File) -> Response:
    headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
    if file.tag in request.headers.get("if-none-match", ""):
        return not_modified_response(file.tag)
    return Response(file.content, headers=headers, media_type=file.media_type)


@functools.cache
def _all_files() -> Mapping[str, _File]:
    return _files(resources.files("cloud.rest.dashboard") / "static")


def _files(directory: Traversable, prefix: str = "") -> Mapping[str, _File]:
    found: dict[str, _File] = {}
    for entry in directory.iterdir():
        if entry.is_dir():
            found |= _files(entry, f"{prefix}{entry.name}/")
            continue
        media_type = _MEDIA_TYPES.get(entry.name.rpartition(".")[2])
        if media_type:
            content = entry.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()[:15]).decode()
            found[prefix + entry.name] = _File(content, media_type, f'"{digest}"')
    return found
