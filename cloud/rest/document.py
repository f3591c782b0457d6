"""The OpenAPI 3.1 document, made from the route table and the types it names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_origin, get_type_hints

from cloud.answers.batches import BatchAnswer
from cloud.answers.callbacks import CallbackAnswer
from cloud.answers.channels import ChannelAnswer
from cloud.answers.common import ErrorAnswer, ProblemAnswer
from cloud.answers.nodes import NodeAnswer
from cloud.answers.plans import PlanAnswer
from cloud.answers.properties import PropertiesAnswer
from cloud.answers.rollouts import RolloutStateAnswer
from cloud.core.names import NAMESPACE_PATTERN
from cloud.http.answers import JSON, MERGE_PATCH, PROBLEM
from cloud.http.requests import REQUEST_ID_HEADER
from cloud.rest.audited import REASON_HEADER
from cloud.rest.context import NAMESPACE_HEADER, ResourceResponse
from cloud.rest.described import CONTINUE, Parameter
from cloud.rest.route import ApiRoute
from cloud.rest.schemas import Schema, Schemas

_ABOUT = (
    "The open API of Baetyl Cloud, as edgesync speaks it. Every call bears the header "
    "`Authorization: Bearer <token>`. Each body may be YAML too (`Content-Type: application/yaml`),"
    " and each answer is where `Accept` names that; errors are JSON."
)
_ALWAYS = (400, 401, 403, 429, 503)
_REASONS = {
    304: "It is as the caller knows it: `If-None-Match` holds its entity tag.",
    400: "Something in the request is wrong; the message names the field.",
    401: "The token is missing or not valid.",
    403: (
        "The token's role or namespace does not allow it; or the name is taken, or something needs"
        " the resource to stay as it is."
    ),
    404: "There is no such resource in the namespace.",
    409: "The resource was changed in the meantime.",
    410: "The token in `continue` has expired; begin anew.",
    412: "The precondition in `If-Match` or `If-None-Match` does not hold.",
    413: "The body is too large.",
    415: "The body is of a type that is not understood here.",
    429: "There are too many requests by this token, or without one from this address; try again.",
    503: "The store cannot answer now; try again.",
}
_ALWAYS_SHOWN = (
    *(NodeAnswer, CallbackAnswer, ChannelAnswer, PropertiesAnswer, BatchAnswer),
    RolloutStateAnswer,
)
"""Kinds that tags cover in part: a node without state, a batch without its warning."""

_ANSWER_HEADERS: Mapping[str, Schema] = {
    "ETag": {
        "description": "Entity tag: stands for the resource as it is now.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[^"]*"$'},
    },
    "Retry-After": {
        "description": "For how many seconds to wait.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "How to prove who one is.",
        "required": True,
        "schema": {"const": "Bearer"},
    },
    "Accept-Patch": {
        "description": "What is understood here.",
        "required": True,
        "schema": {"const": MERGE_PATCH},
    },
    REQUEST_ID_HEADER: {
        "description": "Id of the request: the caller's own, or one that was made.",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
}
_HEADERS_OF: Mapping[int, str] = {
    304: "ETag",
    401: "WWW-Authenticate",
    415: "Accept-Patch",
    429: "Retry-After",
    503: "Retry-After",
}
_CALL_HEADERS: Mapping[str, Schema] = {
    NAMESPACE_HEADER: {
        "description": "the namespace, where it is not the server's own",
        "schema": {"type": "string", "maxLength": 32, "pattern": f"^{NAMESPACE_PATTERN}$"},
    },
    REQUEST_ID_HEADER: {
        "description": "an id for the request: up to 128 letters, digits and `._~:/+=@-`",
        "schema": {"type": "string"},
    },
    REASON_HEADER: {
        "description": "why, in your words, for the audit log; what is too long is cut",
        "schema": {"type": "string"},
    },
    "If-Match": {
        "description": "entity tags, or *: only if the resource is in one of these states",
        "schema": {"type": "string"},
    },
    "If-None-Match": {
        "description": "entity tags, or *: only if the resource is in none of these states",
        "schema": {"type": "string"},
    },
}


def openapi_document(routes: Sequence[ApiRoute], *, version: str) -> Schema:
    """Describe *routes*; InvalidSchema, by msgspec, for a type that JSON Schema cannot express."""
    schemas = Schemas(_kinds(routes))
    paths: dict[str, Schema] = {}
    readers = [one for one in routes if one.method == "GET" and _is_tagged(one)]
    for route in routes:
        conditional = any(_reads(one, route) for one in readers)
        operation = _operation(route, schemas, is_conditional=conditional)
        links = {_id(one): _link(one) for one in routes if _leads_to(route, one)}
        if links:
            operation["responses"]["200"]["links"] = links
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgesync", "version": version, "description": _ABOUT},
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(tag_of(route) for route in routes)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": _ANSWER_HEADERS,
            "parameters": {
                name: {"name": name, "in": "header", **header}
                for name, header in _CALL_HEADERS.items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def tag_of(route: ApiRoute) -> str:
    """The noun that *route* is about: what follows the version in its path."""
    return route.path.split("/")[2]


def _kinds(routes: Sequence[ApiRoute]) -> Iterator[Any]:
    yield from (ErrorAnswer, ProblemAnswer, PlanAnswer)
    for route in routes:
        if route.described.body:
            yield route.described.body.kind
        if route.described.answer is not None:
            yield route.described.answer


def _is_tagged(route: ApiRoute) -> bool:
    """Return whether answers bear an entity tag: those of a handler that shows one resource do."""
    return get_origin(get_type_hints(route.handler)["return"]) is ResourceResponse


def _reads(reader: ApiRoute, route: ApiRoute) -> bool:
    """Return whether *reader*, a GET with a tag, reads the resource that *route* is about.

    That is what is read at the same path, or at the path that an action is below of and answers.
    """
    is_action = route.path.rpartition("/")[0] == reader.path
    same_answer = route.described.answer == reader.described.answer
    return route.path == reader.path or (is_action and same_answer)


def _id(route: ApiRoute) -> str:
    return "_".join([route.method.lower(), *re.findall(r"\w+", route.path)[1:]])


def _leads_to(route: ApiRoute, other: ApiRoute) -> bool:
    """Return whether *other* is about the one thing that *route* has just made."""
    return route.method == "POST" and bool(re.fullmatch(route.path + r"/{\w+}", other.path))


def _link(route: ApiRoute) -> Schema:
    """How the thing that was made is found: by its name, below what it was made in."""
    *above, own = re.findall(r"{(\w+)}", route.path)
    parameters = {name: f"$request.path.{name}" for name in above}
    return {
        "operationId": _id(route),
        "parameters": {**parameters, own: "$response.body#/name"},
    }


def _operation(route: ApiRoute, schemas: Schemas, *, is_conditional: bool) -> Schema:
    described = route.described
    operation: Schema = {
        "operationId": _id(route),
        "summary": described.summary,
        "description": _needs(route),
        "tags": [tag_of(route)],
        "parameters": [*_parameters(route), *_call_headers(route, is_conditional=is_conditional)],
        "responses": {"200": _answer(route, schemas)},
    }
    if described.body:
        media_types = [MERGE_PATCH, JSON] if described.body.is_patch else [JSON]
        schema = schemas.body(described.body, described.answer)
        content = {media_type: {"schema": schema} for media_type in media_types}
        operation["requestBody"] = {"required": not described.body.may_lack, "content": content}
    for status in _refusals(route, is_conditional=is_conditional):
        operation["responses"][str(status)] = _refusal(status, schemas)
    return operation


def _needs(route: ApiRoute) -> str:
    needed = " or ".join(f"`{one.verb} {one.kind}`" for one in route.permissions)
    role = f"the role `{route.role}`, or a higher one, has it"
    return f"Needs the permission {needed}; {role}." if needed else "For every caller."


def _answer(route: ApiRoute, schemas: Schemas) -> Schema:
    kind = route.described.answer
    media_type, schema = "application/octet-stream", Schema(type="string")
    if kind is not None:
        media_type, schema = JSON, schemas.of(kind)
        if route.method != "GET":
            schema = {"anyOf": [schema, schemas.of(PlanAnswer)]}
    return {
        "description": "Done.",
        "headers": _answer_headers(None) | _tag_of_answer(route),
        "content": {media_type: {"schema": schema}, **_stream(route)},
    }


def _tag_of_answer(route: ApiRoute) -> Schema:
    """The entity tag, where answers bear one; a plan, which writes can be asked for, does not."""
    if not _is_tagged(route):
        return {}
    if route.method == "GET":
        return {"ETag": {"$ref": "#/components/headers/ETag"}}
    return {"ETag": {**_ANSWER_HEADERS["ETag"], "required": False}}


def _stream(route: ApiRoute) -> Schema:
    stream = route.described.stream
    return {stream: {"schema": {"type": "string"}}} if stream else {}


def _refusal(status: int, schemas: Schemas) -> Schema:
    answer = {
        "description": _REASONS.get(status, f"{HTTPStatus(status).phrase}."),
        "headers": _answer_headers(_HEADERS_OF.get(status)),
    }
    if status >= 400:
        answer["content"] = {
            JSON: {"schema": schemas.of(ErrorAnswer)},
            PROBLEM: {"schema": schemas.of(ProblemAnswer)},
        }
    return answer


def _answer_headers(own: str | None) -> Schema:
    names = [REQUEST_ID_HEADER, own] if own else [REQUEST_ID_HEADER]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _refusals(route: ApiRoute, *, is_conditional: bool) -> list[int]:
    """Statuses other than 200: of every route, of its kind, and its own."""
    is_read = route.method == "GET"
    statuses = {*_ALWAYS, *route.described.refusals}
    statuses |= {404} if "{" in route.path else set()
    statuses |= {409} if not is_read else set()
    statuses |= {415} if route.method == "PATCH" else set()
    statuses |= {412} if is_conditional else set()
    can_be_known = is_conditional and is_read and route.described.answer not in _ALWAYS_SHOWN
    statuses |= {304} if can_be_known else set()
    statuses |= {410} if CONTINUE in route.described.query else set()
    statuses |= {413} if route.described.body else set()
    return sorted(statuses)


def _parameters(route: ApiRoute) -> Iterator[Schema]:
    for name in re.findall(r"{(\w+)}", route.path):
        schema: Schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for parameter in route.described.parameters(changes=route.method != "GET"):
        yield {
            "name": parameter.name,
            "in": "query",
            "description": parameter.summary,
            "schema": _parameter_schema(parameter),
        }


def _call_headers(route: ApiRoute, *, is_conditional: bool) -> Iterator[Schema]:
    for name in _CALL_HEADERS:
        is_left_out = name.startswith("If-") and not is_conditional
        is_left_out |= name == REASON_HEADER and route.action is None
        if not is_left_out:
            yield {"$ref": f"#/components/parameters/{name}"}


def _parameter_schema(parameter: Parameter) -> Schema:
    if parameter.is_flag:
        return {"enum": ["true", "false"], "default": "false"}
    if parameter.limit is None:
        return {"type": "string"}
    number = {"type": "integer", "minimum": 0, "maximum": parameter.limit}
    return {"anyOf": [number, {"const": "", "description": "as if it were left out"}]}
