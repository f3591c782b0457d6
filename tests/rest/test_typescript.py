"""The types of TypeScript; compiled by hand with tsc and openapi-fetch when their form changes."""

import re

from cloud.rest.document import openapi_document
from cloud.rest.routes import ROUTES
from cloud.rest.typescript import typescript
from tests.rest.conftest import World, caller

ERRORS = {"ErrorAnswer": {"type": "object", "properties": {"code": {"type": "string"}}}}
DOCUMENT = {
    "info": {"version": "1.2.3"},
    "paths": {
        "/v1/things/{name}": {
            "put": {
                "summary": "Change a thing",
                "parameters": [
                    {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"$ref": "#/components/parameters/If-Match"},
                    {"name": "limit", "in": "query", "schema": {"type": "integer"}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/x/schemas/Thing"}}},
                },
                "responses": {
                    "200": {"content": {"text/plain": {"schema": {"type": "string"}}}},
                    "304": {},
                    "404": {},
                },
            }
        }
    },
    "components": {
        "parameters": {"If-Match": {"name": "If-Match", "in": "header", "schema": {}}},
        "schemas": {
            **ERRORS,
            "Thing": {
                "description": "A thing; */ ends nothing.",
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "kind-of": {"enum": ["a", "b", None]},
                    "parts": {"type": "array", "items": {"$ref": "#/x/schemas/Thing"}},
                    "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                    "one": {"const": 1},
                    "either": {"type": ["string", "boolean"], "description": "a flag"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "anything": {},
                    "inner": {"type": "object", "properties": {"x": {"type": "number"}}},
                },
                "required": ["name", "labels"],
            },
        },
    },
}
TYPES = """\
/** The API of edgesync 1.2.3: made from its OpenAPI document. */

export type Refused = {
  headers: { [name: string]: unknown };
  content: { "application/json": components["schemas"]["ErrorAnswer"] };
};

export interface paths {
  "/v1/things/{name}": {
    parameters: { query?: never; header?: never; path?: never; cookie?: never };
    get?: never;
    /** Change a thing */
    put: {
      parameters: {
        query?: { limit?: number };
        header?: { "If-Match"?: unknown };
        path: { name: string };
        cookie?: never;
      };
      requestBody: { content: { "application/json": components["schemas"]["Thing"] } };
      responses: {
        200: { headers: { [name: string]: unknown }; content: { "text/plain": string } };
        304: { headers: { [name: string]: unknown }; content?: never };
        404: Refused;
      };
    };
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
}

export interface components {
  schemas: {
    ErrorAnswer: {
      code?: string;
    };
    /** A thing; * / ends nothing. */
    Thing: {
      name: string;
      "kind-of"?: "a" | "b" | null;
      parts?: (components["schemas"]["Thing"])[];
      size?: number | null;
      one?: 1;
      /** a flag */
      either?: string | boolean;
      labels: { [key: string]: string };
      anything?: unknown;
      inner?: {
        x?: number;
      };
    };
  };
}
"""


def test_a_document_becomes_types() -> None:
    assert typescript(DOCUMENT) == TYPES


def test_all_of_the_api_has_types() -> None:
    document = openapi_document(ROUTES, version="1.2.3")
    types = typescript(document)
    assert all(f'  "{path}": {{' in types for path in document["paths"])
    schemas = set(document["components"]["schemas"])
    assert set(re.findall(r'components\["schemas"\]\["(\w+)"\]', types)) <= schemas
    assert all(re.search(rf"^    {name}: ", types, re.M) for name in schemas)
    for opening, closing in ("{}", "()", "[]"):
        without_comments = re.sub(r"/\*\*.*?\*/", "", types)
        assert without_comments.count(opening) == without_comments.count(closing)


async def test_a_server_has_its_types(world: World) -> None:
    async with caller(world.url) as http:
        answer = await http.get("/openapi.d.ts")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == typescript(openapi_document(ROUTES, version="1.2.3"))
