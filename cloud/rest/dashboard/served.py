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

    async def page(request: Request) -> Response:
        return _answer(request, _loaded("index.html"))

    async def reference(request: Request) -> Response:
        return _answer(request, _loaded("docs.html"))

    async def file(request: Request) -> Response:
        path: str = request.path_params["path"]
        if path not in _entries():
            raise NotFound("file", path)
        return _answer(request, _loaded(path))

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
def _entries() -> Mapping[str, Traversable]:
    return _below(resources.files("cloud.rest.dashboard") / "static")


def _below(directory: Traversable, prefix: str = "") -> Mapping[str, Traversable]:
    found: dict[str, Traversable] = {}
    for entry in directory.iterdir():
        if entry.is_dir():
            found |= _below(entry, f"{prefix}{entry.name}/")
        elif _ending(entry) in _MEDIA_TYPES:
            found[prefix + entry.name] = entry
    return found


@functools.cache
def _loaded(path: str) -> _File:
    """One of `_entries`, read when it is first asked for: the libraries alone are 2 MB."""
    entry = _entries()[path]
    content = entry.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()[:15]).decode()
    return _File(content, _MEDIA_TYPES[_ending(entry)], f'"{digest}"')


def _ending(entry: Traversable) -> str:
    return entry.name.rpartition(".")[2]
