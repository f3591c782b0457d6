"""Manifests: YAML or JSON documents of desired resources (docs/manifests.md).

A document is the body that the REST API takes, and `kind`. Everything is read and checked before
anything is sent; what is wrong is named by file, document and line.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import click
import yaml

from cloud.core.decoding import convert
from cloud.core.kinds import KINDS, ResourceKind
from cloud.core.names import check_namespace
from cloud.errors import Invalid
from edgesync.cli.resources.kinds import OWNER_LABEL

STDIN = "-"
_SUFFIXES = {".yaml", ".yml", ".json"}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_TAG = "tag:yaml.org,2002:"
_PLAIN = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null")}
_LIST = "list"
_BESIDE = frozenset({"kind", "name", "namespace"})


class YamlLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads plain words as the server does, by YAML 1.2: `no` is a word."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {}


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    YamlLoader.add_implicit_resolver(
        f"{_TAG}{_name}", re.compile(f"^(?:{_pattern})$"), ["" if c == "\0" else c for c in _first]
    )


def _integer(loader: Any, node: yaml.ScalarNode) -> int:
    text: str = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)


YamlLoader.add_constructor(f"{_TAG}int", _integer)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document stands: its file, its number there, and the lines of its fields."""

    source: str
    number: int
    node: yaml.Node | None = field(default=None, repr=False)

    def of(self, path: str = "") -> str:
        """In words, with the line of the field *path* or of what is left of it."""
        place = f"{self.source}, document {self.number}"
        node = self.node
        if node is None:
            return place
        line = node.start_mark.line
        for key, index in _STEP.findall(path):
            found = _inside(node, key, index)
            if found is None:
                break
            line, node = found
        return f"{place}, line {line + 1}"


@dataclass(frozen=True, slots=True)
class Document:
    """One thing that should exist: *body* is what the REST API takes, its name too."""

    kind: ResourceKind
    body: dict[str, Any]
    namespace: str = ""
    place: Place = field(default_factory=lambda: Place("", 1), compare=False)

    @property
    def name(self) -> str:
        """The name of the thing on the command line."""
        return self.kind.name_of(self.body)

    @property
    def title(self) -> str:
        """Kind and name, as commands take them."""
        return f"{self.kind.word}/{self.name}" if self.name else self.kind.word

    @property
    def url(self) -> str:
        """Path of the thing itself."""
        return self.kind.url(self.name)

    @property
    def put_body(self) -> dict[str, Any]:
        """The body of PUT: all but the name and, of a record, the batch; the path has them."""
        beside = {"name", self.kind.parent_field}
        return {key: self.body[key] for key in self.body if key not in beside}

    @property
    def post_body(self) -> dict[str, Any]:
        """The body of POST."""
        return {key: self.body[key] for key in self.body if key != self.kind.parent_field}

    def owned_by(self, owner: str | None) -> "Document":
        """The same with the label of its *owner*, where there is one and the kind can have it."""
        if owner is None or not self.kind.has_labels:
            return self
        labels = {**(self.body.get("labels") or {}), OWNER_LABEL: owner}
        return replace(self, body={**self.body, "labels": labels})


def read_manifests(sources: Sequence[str]) -> list[Document]:
    """Every document of *sources*, in the order in which they can be made.

    ClickException names the first that is wrong, and a thing that is duplicated.
    """
    found: list[Document] = []
    seen: dict[tuple[str, str, str], Document] = {}
    for source, text in _texts(sources):
        for one in read_text(text, source):
            first = seen.setdefault((one.kind.name, one.namespace, one.name), one)
            if first is not one:
                raise click.ClickException(
                    f"{one.place.of()}: {one.title} is already defined in {first.place.of()}"
                )
            found.append(one)
    if not found:
        raise click.ClickException(f"no manifests (.yaml, .yml, .json) in {', '.join(sources)}")
    return sorted(found, key=lambda one: KINDS.index(one.kind))


def read_text(text: str, source: str) -> Iterator[Document]:
    """The documents of *text*, each checked; those of a `kind: List` one by one."""
    for content, place in _contents(text, source):
        if isinstance(content, dict) and str(content.get("kind", "")).lower() == _LIST:
            items = content.get("items")
            if not isinstance(items, list):
                raise _wrong(place, "items", "a List needs `items:`")
            for index, item in enumerate(items):
                found = _inside(place.node, "items", "") if place.node else None
                inner = _inside(found[1], "", str(index)) if found else None
                node = inner[1] if inner else None
                yield _document(item, Place(source, place.number, node))
        elif content is not None:
            yield _document(content, place)


def _document(content: Any, place: Place) -> Document:
    if not isinstance(content, dict) or not isinstance(content.get("kind"), str):
        raise _wrong(place, "", "missing `kind:` (App, Config, ...)")
    kind = KINDS.named(content["kind"])
    if kind is None:
        kinds = ", ".join(each.name for each in KINDS)
        raise _wrong(place, "kind", f'unknown kind "{content["kind"][:80]}"; kinds: {kinds}')
    name, namespace = content.get("name"), content.get("namespace")
    if kind.is_single:
        if name is not None:
            raise _wrong(
                place, "name", f"{kind.name} takes no name: there is one in each namespace"
            )
    elif not isinstance(name, str) or not name:
        raise _wrong(place, "name", "missing `name:`, a string")
    body = {key: content[key] for key in content if key not in _BESIDE | kind.read_only}
    try:
        if namespace is not None:
            check_namespace("namespace", convert(namespace, str, under="namespace"))
        convert(body, kind.spec)
    except Invalid as error:
        raise _wrong(place, error.field, f"{error.field}: {error.reason}") from error
    _check_safe(kind, body, place)
    return Document(kind, {"name": name, **body} if name else body, namespace or "", place)


def _check_safe(kind: ResourceKind, body: dict[str, Any], place: Place) -> None:
    """Refuse what the API accepts but is a mistake in a file."""
    for name in kind.required_to_create:
        if name not in body:
            reason = f"missing; `{name}: {{}}` is {kind.a_word} without values"
            raise _wrong(place, "", f"{name}: {reason}")
    if not kind.has_labels and OWNER_LABEL in (body.get("labels") or {}):
        reason = f"the {kind.word} would copy it to each of its nodes"
        raise _wrong(place, "labels", f"labels.{OWNER_LABEL}: {reason}")


def _texts(sources: Sequence[str]) -> Iterator[tuple[str, str]]:
    for source in sources:
        if source == STDIN:
            yield "stdin", _decoded("stdin", sys.stdin.buffer.read())
            continue
        path = Path(source)
        try:
            files = _files(path) if path.is_dir() else [path]
            for file in files:
                yield str(file), _decoded(str(file), file.read_bytes())
        except OSError as error:
            raise click.ClickException(f"{source}: {error.strerror or error}") from error


def _files(folder: Path) -> list[Path]:
    """Manifests below *folder*, but those in and with names that begin with a dot."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in _SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _decoded(source: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{source}: is not UTF-8: {error}") from error


def _contents(text: str, source: str) -> Iterator[tuple[Any, Place]]:
    """Each document as plain data, and where it stands."""
    if text.lstrip()[:1] in {"{", "["}:
        found = _json(text)
        if found is not None:
            nodes = _nodes_or_none(text)
            yield found, Place(source, 1, nodes)
            return
    try:
        loader = YamlLoader(text)
        number = 0
        while loader.check_node():
            number += 1
            node = loader.get_node()
            place = Place(source, number, node)
            _check_plain(node, place)
            yield loader.construct_document(node), place
    except yaml.YAMLError as error:
        raise click.ClickException(f"{source}: {_complaint(error)}") from error
    except (RecursionError, ValueError) as error:
        raise click.ClickException(f"{source}: cannot be read: {error}") from error


def _json(text: str) -> Any:
    """*text* decoded as JSON, None if it is none; YAML reads some of its escapes differently."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _nodes_or_none(text: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=YamlLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    return node


def _check_plain(node: yaml.Node, place: Place) -> None:
    """Refuse what JSON cannot express, duplicate keys, and the same content by reference."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            raise _wrong_at(place, one, "aliases are not supported; write the value out")
        seen.add(id(one))
        if isinstance(one, yaml.MappingNode):
            _check_keys(one, place)
            waiting += [part for pair in one.value for part in pair]
        elif isinstance(one, yaml.SequenceNode):
            waiting += one.value
        elif one.tag not in _PLAIN or (one.tag.endswith(":float") and _is_endless(one.value)):
            raise _wrong_at(place, one, f"{str(one.value)[:40]!r} cannot be expressed in JSON")


def _check_keys(node: yaml.MappingNode, place: Place) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _wrong_at(place, key, "a key must be a string")
        if key.value in seen:
            raise _wrong_at(place, key, f"{key.value[:80]!r} is duplicated")
        seen.add(key.value)
        if key.tag in _PLAIN:
            key.tag = f"{_TAG}str"  # a key is text, whatever it looks like


def _is_endless(text: str) -> bool:
    return text.lower().endswith(("inf", "nan"))


def _inside(node: yaml.Node, key: str, index: str) -> tuple[int, yaml.Node] | None:
    """Line and node of what *key* or *index* names in *node*."""
    if index and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
        inner = node.value[int(index)]
        return inner.start_mark.line, inner
    if key and isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return name.start_mark.line, value
    return None


def _complaint(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return str(error)


def _wrong(place: Place, path: str, reason: str) -> click.ClickException:
    return click.ClickException(f"{place.of(path)}: {reason}")


def _wrong_at(place: Place, node: yaml.Node, reason: str) -> click.ClickException:
    line = node.start_mark.line + 1
    return click.ClickException(f"{place.source}, document {place.number}, line {line}: {reason}")
