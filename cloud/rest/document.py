"""The OpenAPI 3.1 document, made from the route table and the types it names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from cloud.core.names import NAME_PATTERN, NAMESPACE_PATTERN
from cloud.http.answers import JSON, MERGE_PATCH
from cloud.rest.audited import REASON_HEADER
from cloud.rest.call import NAMESPACE_HEADER
from cloud.rest.described import LISTED, Body, Name, Parameter
from cloud.rest.route import ApiRoute
from cloud.rest.shapes import ErrorAnswer

REFERENCE = "#/components/schemas/"
Schema = dict[str, Any]

_ABOUT = (
    "The open API of Baetyl Cloud, as edgesync speaks it. Every call bears the header "
    "`Authorization: Bearer <token>`."
)
_ALWAYS = (400, 401, 403, 429, 503)
_REASONS = {
    400: "Something in the request is wrong; the message names the field.",
    401: "The token is missing or not valid.",
    403: (
        "The token's role or namespace does not allow it; or the name is taken, or something needs"
        " the resource to stay as it is."
    ),
    404: "There is no such resource in the namespace.",
    409: "Somebody else changed it first.",
    410: "The token in `continue` has expired; begin anew.",
    412: "It is not, or no longer, as `If-Match` or `If-None-Match` says.",
    413: "The body is too large.",
    415: "The body is of a type that is not understood here.",
    429: "There are too many requests by this token, or without one from this address; try again.",
    503: "The store cannot answer now; try again.",
}


def openapi_document(routes: Sequence[ApiRoute], *, version: str) -> Schema:
    """Describe *routes*; InvalidSchema, by msgspec, for a type that JSON Schema cannot express."""
    schemas = _Schemas(routes)
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgesync", "version": version, "description": _ABOUT},
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(tag_of(route) for route in routes)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def tag_of(route: ApiRoute) -> str:
    """The noun that *route* is about: what follows the version in its path."""
    return route.path.split("/")[2]


class _Schemas:
    """The types of all routes as schemas that refer to each other."""

    def __init__(self, routes: Sequence[ApiRoute]) -> None:
        kinds: list[Any] = [ErrorAnswer]
        for route in routes:
            kinds += [route.described.body.kind] if route.described.body else []
            kinds += [route.described.answer] if route.described.answer is not None else []
        schemas, components = msgspec.json.schema_components(
            kinds, ref_template=REFERENCE + "{name}"
        )
        # The `components/schemas` of the document.
        self.components: dict[str, Schema] = components
        self._references = list(zip(kinds, schemas, strict=True))

    def of(self, kind: Any) -> Schema:
        """A reference to the schema of *kind*."""
        return next(dict(schema) for known, schema in self._references if known == kind)

    def resolved(self, kind: Any) -> Schema:
        """The schema of *kind* itself."""
        name: str = self.of(kind)["$ref"].removeprefix(REFERENCE)
        return self.components[name]


def _operation(route: ApiRoute, schemas: _Schemas) -> Schema:
    described = route.described
    operation: Schema = {
        "operationId": "_".join([route.method.lower(), *re.findall(r"\w+", route.path)[1:]]),
        "summary": described.summary,
        "description": f"For tokens with the role `{route.role}` or a higher one.",
        "tags": [tag_of(route)],
        "parameters": [*_parameters(route)],
        "responses": {"200": {"description": "Done.", "content": _answer(route, schemas)}},
    }
    if described.body:
        media_type = MERGE_PATCH if described.body.is_patch else JSON
        content = {media_type: {"schema": _body_schema(described.body, described.answer, schemas)}}
        operation["requestBody"] = {"required": True, "content": content}
    error = {JSON: {"schema": schemas.of(ErrorAnswer)}}
    for status in _refusals(route):
        reason = _REASONS.get(status, f"{HTTPStatus(status).phrase}.")
        operation["responses"][str(status)] = {"description": reason, "content": error}
    return operation


def _answer(route: ApiRoute, schemas: _Schemas) -> Schema:
    kind = route.described.answer
    if kind is None:
        return {"application/octet-stream": {"schema": {"type": "string"}}}
    return {JSON: {"schema": schemas.of(kind)}}


def _refusals(route: ApiRoute) -> list[int]:
    """Statuses other than 200: of every route, of its kind, and its own."""
    statuses = {*_ALWAYS, *route.described.refusals}
    statuses |= {404} if "{" in route.path else set()
    statuses |= {409} if route.method != "GET" else set()
    statuses |= {415} if route.method == "PATCH" else set()
    statuses |= {412} if "{" in route.path else set()
    statuses |= {410} if route.described.query == LISTED else set()
    statuses |= {413} if route.described.body else set()
    return sorted(statuses)


def _parameters(route: ApiRoute) -> Iterator[Schema]:
    for name in re.findall(r"{(\w+)}", route.path):
        schema: Schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for parameter in route.described.query:
        yield {
            "name": parameter.name,
            "in": "query",
            "description": parameter.summary,
            "schema": _parameter_schema(parameter),
        }
    yield {
        "name": NAMESPACE_HEADER,
        "in": "header",
        "description": "the namespace, where it is not the server's own",
        "schema": {"type": "string", "maxLength": 32, "pattern": f"^{NAMESPACE_PATTERN}$"},
    }
    if route.action is not None:
        yield {
            "name": REASON_HEADER,
            "in": "header",
            "description": "why, in your words, for the audit log; what is too long is cut",
            "schema": {"type": "string"},
        }


def _parameter_schema(parameter: Parameter) -> Schema:
    if parameter.limit is None:
        return {"type": "string"}
    number = {"type": "integer", "minimum": 0, "maximum": parameter.limit}
    return {"anyOf": [number, {"const": "", "description": "as if it were left out"}]}


def _body_schema(body: Body, answer: Any, schemas: _Schemas) -> Schema:
    if body.is_patch:
        return {"type": "object", "description": "RFC 7396: null takes a field away."}
    if body.name is None:
        return schemas.of(body.kind)
    own = schemas.resolved(body.kind)
    properties: dict[str, Any] = dict(own["properties"])
    required: list[str] = [*own.get("required", ())]
    ignored: Mapping[str, Any] = schemas.resolved(answer)["properties"]
    for field in ignored:
        properties.setdefault(field, {"description": "Ignored: the server's to set."})
    if body.name is not Name.IGNORED:
        pattern = NAME_PATTERN if body.name is Name.REQUIRED else f"({NAME_PATTERN})?"
        properties["name"] = {"type": "string", "maxLength": 63, "pattern": f"^{pattern}$"}
    if body.name is Name.REQUIRED:
        required.append("name")
    return {**own, "properties": properties, "required": required}
