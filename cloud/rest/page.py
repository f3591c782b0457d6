"""The OpenAPI document as a page for people: one file, no script, nothing fetched."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from cloud.rest.schemas import REFERENCE

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --link: light-dark(#06c, #7bf) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 0 auto; padding: 1rem }
a { color: var(--link) }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; padding: .5rem 0 }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .4rem 0 }
details > div { padding: 0 .8rem .5rem; overflow-x: auto }
summary { padding: .5rem .8rem; cursor: pointer; overflow-wrap: anywhere }
summary:hover { background: var(--soft) }
summary span { display: block; opacity: .75 }
code { font: .9em ui-monospace, monospace }
b.method { display: inline-block; min-width: 4rem }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line) }
h3 { font-size: 1rem; margin: .8rem 0 .2rem }
"""


def content_security_policy() -> str:
    """What a browser may do with the page: apply its own style, nothing else."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )


def html_page(document: Mapping[str, Any]) -> str:
    """Write *document*, one that `openapi_document` made, as HTML."""
    title = escape(f"{document['info']['title']} {document['info']['version']}: API")
    tags = [tag["name"] for tag in document["tags"]]
    links = "".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in tags)
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>",
        f"<p>{_text(document['info']['description'])} ",
        'For programs: <a href="openapi.json">openapi.json</a>.</p>',
        f'<nav>{links}<a href="#types">types</a></nav><main>',
    ]
    for tag in tags:
        parts.append(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>')
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if operation["tags"] == [tag]:
                    parts.extend(_operation(method, path, operation, document["components"]))
    parts.append('<h2 id="types">types</h2>')
    for name, schema in document["components"]["schemas"].items():
        parts.extend(_type(name, schema))
    parts.append("</main></body></html>\n")
    return "".join(parts)


def _operation(
    method: str, path: str, operation: Mapping[str, Any], components: Mapping[str, Any]
) -> Iterator[str]:
    yield f'<details id="{escape(operation["operationId"])}"><summary>'
    yield f'<b class="method">{method.upper()}</b> <code>{escape(path)}</code>'
    yield f"<span>{_text(operation['summary'])}</span></summary><div>"
    yield f"<p>{_text(operation['description'])}</p>"
    shared = components["parameters"]
    parameters = [
        shared[one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        for one in operation["parameters"]
    ]
    rows = [(one["name"], one["in"], _text(one.get("description", ""))) for one in parameters]
    yield _table("Parameters", rows)
    if "requestBody" in operation:
        # One schema, whatever the type of the body is called.
        media_types, (content, *_) = zip(*operation["requestBody"]["content"].items(), strict=True)
        yield _schema(f"Body: {' or '.join(media_types)}", content["schema"])
    yield _table("Answers", [_answer(*item) for item in operation["responses"].items()])
    yield "</div></details>"


def _answer(status: str, response: Mapping[str, Any]) -> tuple[str, str, str]:
    kinds = [_kind(content["schema"]) for content in response.get("content", {}).values()]
    headers = " ".join(f"`{name}`" for name in response.get("headers", {}))
    return status, " or ".join(kinds), _text(f"{response['description']} {headers}")


def _type(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<details id="type-{escape(name)}" open><summary><code>{escape(name)}</code>'
    yield f"<span>{_text(schema.get('description', ''))}</span></summary><div>"
    yield _schema("", schema)
    yield "</div></details>"


def _schema(title: str, schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    if "properties" not in schema:
        return f"<h3>{escape(title)}</h3>{_kind(schema)}" if title else _kind(schema)
    return _table(
        title,
        [
            (name, _kind(one), _note(one, is_required=name in required))
            for name, one in schema["properties"].items()
        ],
    )


def _note(schema: Mapping[str, Any], *, is_required: bool) -> str:
    notes = ["required"] if is_required else []
    if schema.get("default") not in (None, "", [], {}, False):
        notes.append(f"default <code>{escape(str(schema['default']))}</code>")
    if "description" in schema:
        notes.append(_text(schema["description"]))
    return "; ".join(notes)


def _kind(schema: Mapping[str, Any]) -> str:
    """The type, in HTML; with a link where it has a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(REFERENCE))
        return f'<a href="#type-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"map to {_kind(schema['additionalProperties'])}"
    kind = schema.get("type", "anything")
    return escape(kind if isinstance(kind, str) else " or ".join(kind))


def _table(title: str, rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    body = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td><td>{note}</td></tr>"
        for name, kind, note in rows
    )
    return f"{heading}<table>{body}</table>"


def _text(text: str) -> str:
    """Text in HTML; what stands between backquotes is code."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)
    )
