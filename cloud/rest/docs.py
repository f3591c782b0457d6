"""What the API is, for programs (`/openapi.json`); people read it at `/docs` (`dashboard`).

No token needed: it shows what the source contains, and nothing of what this server holds.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cloud.http.answers import json_response
from cloud.http.routing import CheckedRoute
from cloud.rest.document import openapi_document
from cloud.rest.routes import ROUTES


def docs_routes(*, version: str) -> list[Route]:
    """`/openapi.json`, made once from the route table."""
    document = openapi_document(ROUTES, version=version)

    async def for_programs(_: Request) -> Response:
        return json_response(document)

    return [CheckedRoute("/openapi.json", for_programs)]
