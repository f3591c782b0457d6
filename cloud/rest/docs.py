"""What the API is, for programs (`/openapi.json`) and for people (`/docs`).

No token needed: both show what the source contains, and nothing of what this server holds.
"""

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cloud.http.answers import json_response
from cloud.http.routing import CheckedRoute
from cloud.rest.document import openapi_document
from cloud.rest.page import content_security_policy, html_page
from cloud.rest.routes import ROUTES


def docs_routes(*, version: str) -> list[Route]:
    """`/openapi.json` and `/docs`, both made once from the route table."""
    document = openapi_document(ROUTES, version=version)
    page = html_page(document)
    headers = {"Content-Security-Policy": content_security_policy()}

    async def for_programs(_: Request) -> Response:
        return json_response(document)

    async def for_people(_: Request) -> Response:
        return HTMLResponse(page, headers=headers)

    return [CheckedRoute("/openapi.json", for_programs), CheckedRoute("/docs", for_people)]
