"""The description of the API for programs, `/openapi.json`; `/docs` shows it (`dashboard`).

No token needed: it shows what the source contains, and nothing of what this server holds.
"""

import functools

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.http.answers import json_text_response
from cloud.http.routing import CheckedRoute
from cloud.rest.routes import ROUTES


def docs_routes(*, version: str) -> list[Route]:
    """`/openapi.json`, made from the route table for the first who asks."""

    async def for_programs(_: Request) -> Response:
        return json_text_response(_encoded(version))

    return [CheckedRoute("/openapi.json", for_programs)]


@functools.cache
def _encoded(version: str) -> bytes:
    from cloud.rest.document import openapi_document

    return msgspec.json.encode(openapi_document(ROUTES, version=version))
