"""The description of the API for programs, `/openapi.json`; `/docs` shows it (`dashboard`).

`/openapi.d.ts` has the same as types of TypeScript.

No token needed: it shows what the source contains, and nothing of what this server holds.
"""

import functools

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.http.answers import bytes_response, json_text_response
from cloud.http.routing import CheckedRoute
from cloud.rest.routes import ROUTES

TYPESCRIPT = "text/plain; charset=utf-8"
"""No media type of TypeScript is registered."""


def docs_routes(*, version: str) -> list[Route]:
    """`/openapi.json` and `/openapi.d.ts`, made from the route table for the first who asks."""

    async def for_programs(_: Request) -> Response:
        return json_text_response(_encoded(version))

    async def for_typescript(_: Request) -> Response:
        return bytes_response(_types(version), media_type=TYPESCRIPT)

    return [
        CheckedRoute("/openapi.json", for_programs),
        CheckedRoute("/openapi.d.ts", for_typescript),
    ]


@functools.cache
def _encoded(version: str) -> bytes:
    from cloud.rest.document import openapi_document

    return msgspec.json.encode(openapi_document(ROUTES, version=version))


@functools.cache
def _types(version: str) -> bytes:
    from cloud.rest.document import openapi_document
    from cloud.rest.typescript import typescript

    return typescript(openapi_document(ROUTES, version=version)).encode()
