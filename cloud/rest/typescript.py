"""The OpenAPI document as types of TypeScript, in the form that openapi-typescript writes.

So programs use it with openapi-fetch (https://openapi-ts.dev): `paths` has the operations by path
and method, `components` the schemas.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PLACES = ("query", "header", "path", "cookie")
_REFUSED = "Refused"
_FIRST_REFUSAL = 400
_PLAIN = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
_TYPES = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


def typescript(document: Schema) -> str:
    """The types of *document*.

    All refusals are an `ErrorAnswer`, which they are unless a program accepts problems (RFC 9457).
    """
    version, schemas = document["info"]["version"], document["components"]["schemas"]
    lines = [
        f"/** The API of edgesync {_in_comment(str(version))}: made from its OpenAPI document. */",
        "",
        f"export type {_REFUSED} = {{",
        "  headers: { [name: string]: unknown };",
        '  content: { "application/json": components["schemas"]["ErrorAnswer"] };',
        "};",
        "",
        "export interface paths {",
        *(line for path, item in document["paths"].items() for line in _path(path, item, document)),
        "}",
        "",
        "export interface components {",
        "  schemas: {",
    ]
    for name, schema in schemas.items():
        lines += _comment(schema.get("description", ""), "    ")
        lines.append(f"    {_key(name)}: {_type(schema, '    ')};")
    return "\n".join([*lines, "  };", "}", ""])


def _path(path: str, item: Schema, document: Schema) -> Iterator[str]:
    yield f"  {_key(path)}: {{"
    yield "    parameters: { query?: never; header?: never; path?: never; cookie?: never };"
    for method in _METHODS:
        if method not in item:
            yield f"    {method}?: never;"
            continue
        operation = item[method]
        yield from _comment(operation.get("summary", ""), "    ")
        yield f"    {method}: {{"
        yield "      parameters: {"
        found = [_resolved(one, document) for one in operation.get("parameters", ())]
        for place in _PLACES:
            yield f"        {_parameters(place, [one for one in found if one['in'] == place])};"
        yield "      };"
        yield f"      {_request_body(operation.get('requestBody'))};"
        yield "      responses: {"
        for status, response in operation["responses"].items():
            yield f"        {status}: {_response(int(status), response)};"
        yield "      };"
        yield "    };"
    yield "  };"


def _parameters(place: str, parameters: Sequence[Schema]) -> str:
    if not parameters:
        return f"{place}?: never"
    optional = "" if any(one.get("required") for one in parameters) else "?"
    members = "; ".join(
        f"{_key(one['name'])}{'' if one.get('required') else '?'}: {_type(one['schema'], '')}"
        for one in parameters
    )
    return f"{place}{optional}: {{ {members} }}"


def _request_body(body: Schema | None) -> str:
    if body is None:
        return "requestBody?: never"
    return f"requestBody{'' if body.get('required') else '?'}: {{ {_content(body)} }}"


def _response(status: int, response: Schema) -> str:
    if status >= _FIRST_REFUSAL:
        return _REFUSED
    return f"{{ headers: {{ [name: string]: unknown }}; {_content(response)} }}"


def _content(holder: Schema) -> str:
    content = holder.get("content")
    if not content:
        return "content?: never"
    members = "; ".join(
        f"{_key(media)}: {_type(one.get('schema', {}), '      ')}" for media, one in content.items()
    )
    return f"content: {{ {members} }}"


def _resolved(one: Schema, document: Schema) -> Schema:
    if "$ref" not in one:
        return one
    found: Any = document
    for step in one["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def _type(schema: Schema, indent: str) -> str:
    """The type of values with *schema*; lines after the first begin with *indent*."""
    if "$ref" in schema:
        return f'components["schemas"][{_text(schema["$ref"].rpartition("/")[2])}]'
    if "const" in schema:
        return _text(schema["const"])
    if "enum" in schema:
        return " | ".join(map(_text, schema["enum"]))
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " | ".join(dict.fromkeys(_type(one, indent) for one in schema[word]))
    kinds = schema.get("type", ())
    if isinstance(kinds, list):
        return " | ".join(_type({**schema, "type": kind}, indent) for kind in kinds)
    if kinds == "array":
        return f"({_type(schema.get('items', {}), indent)})[]"
    if kinds == "object" or "properties" in schema:
        return _object(schema, indent)
    return _TYPES.get(kinds, "unknown") if kinds else "unknown"


def _object(schema: Schema, indent: str) -> str:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    if not properties:
        values = _type(others, indent) if isinstance(others, Mapping) else "unknown"
        return f"{{ [key: string]: {values} }}"
    required, inner = schema.get("required", ()), f"{indent}  "
    lines = ["{"]
    for name, one in properties.items():
        lines += _comment(one.get("description", ""), inner)
        optional = "" if name in required else "?"
        lines.append(f"{inner}{_key(name)}{optional}: {_type(one, inner)};")
    if isinstance(others, Mapping):
        lines.append(f"{inner}[key: string]: unknown;")
    return "\n".join([*lines, f"{indent}}}"])


def _comment(text: str, indent: str) -> Iterator[str]:
    if text:
        yield f"{indent}/** {_in_comment(' '.join(text.split()))} */"


def _in_comment(text: str) -> str:
    return text.replace("*/", "* /")


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else _text(name)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
