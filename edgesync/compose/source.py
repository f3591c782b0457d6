"""A Compose file as plain data that knows the line of each of its fields."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edgesync.cli.resources.manifests import YamlLoader

NODE_LIMIT = 100_000
"""Values in one file, aliases expanded; more is refused (an alias can be repeated without end)."""

DEPTH_LIMIT = 100

FieldPath = tuple[str | int, ...]
"""Keys and indexes that lead from the top of the file to a value."""


class ComposeError(Exception):
    """The file cannot be converted; the text has the place and the reason."""


@dataclass(frozen=True, slots=True)
class ComposeNote:
    """A note that a manifest lacks the field at *path*, or has it differently."""

    line: int
    path: str
    text: str
    is_loss: bool = True


@dataclass(slots=True)
class ComposeFile:
    """One Compose file, read; `notes` gathers what is not carried over."""

    file: Path
    data: dict[str, Any]
    lines: Mapping[FieldPath, int]
    notes: list[ComposeNote] = field(default_factory=list)

    def line(self, path: FieldPath) -> int:
        """Line of *path*, or of the nearest field around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def lose(self, path: FieldPath, text: str) -> None:
        """Note that the field at *path* is not carried over."""
        self.notes.append(ComposeNote(self.line(path), shown(path), text))

    def differ(self, path: FieldPath, text: str) -> None:
        """Note that the field at *path* is carried over with another meaning in a detail."""
        self.notes.append(ComposeNote(self.line(path), shown(path), text, is_loss=False))

    def error(self, path: FieldPath, text: str) -> ComposeError:
        """The error for the field at *path*, which cannot be converted."""
        where = f"{self.file}:{self.line(path)}"
        return ComposeError(f"{where}: {shown(path)}: {text}" if path else f"{where}: {text}")

    def mapping(self, path: FieldPath, value: Any) -> dict[str, Any]:
        """*value* if it is a mapping; nothing is an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(path, "expected a mapping")
        return value

    def items(self, path: FieldPath, value: Any) -> Iterator[tuple[FieldPath, Any]]:
        """Each item of the list *value* with its path; nothing is an empty list."""
        if value is None:
            return
        if not isinstance(value, list):
            raise self.error(path, "expected a list")
        for index, item in enumerate(value):
            yield (*path, index), item

    def text(self, path: FieldPath, value: Any) -> str:
        """*value* as text; numbers and booleans as YAML writes them."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            return str(value)
        raise self.error(path, "expected text")

    def texts(self, path: FieldPath, value: Any) -> tuple[str, ...]:
        """Texts of a list, or the one text."""
        if isinstance(value, list):
            return tuple(self.text(at, item) for at, item in self.items(path, value))
        return () if value is None else (self.text(path, value),)

    def pairs(self, path: FieldPath, value: Any) -> Iterator[tuple[FieldPath, str, str | None]]:
        """Names and values of a mapping, or of a list of NAME=VALUE; None where no value stands."""
        if isinstance(value, list):
            for at, item in self.items(path, value):
                name, equals, content = self.text(at, item).partition("=")
                yield at, name, content if equals else None
            return
        for name, content in self.mapping(path, value).items():
            at = (*path, name)
            yield at, name, None if content is None else self.text(at, content)


def shown(path: FieldPath) -> str:
    """*path* as people write it: `services.web.ports[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read_source(file: Path, text: str, replace: Callable[[str], str]) -> ComposeFile:
    """Read the Compose file *text*; *replace* is applied to each value that is text.

    ComposeError, with the line, for what is not YAML or not a mapping.
    """
    try:
        node = yaml.compose(text, Loader=YamlLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ComposeError(f"{file}{line}: {problem}") from error
    builder = _Builder(file, replace)
    data = builder.value(node, ()) if node is not None else None
    if not isinstance(data, dict):
        raise ComposeError(f"{file}:1: a Compose file is a mapping with `services:`")
    return ComposeFile(file, data, builder.lines)


class _Builder:
    """Makes plain values of YAML nodes: aliases and merge keys expanded, lines remembered."""

    def __init__(self, file: Path, replace: Callable[[str], str]) -> None:
        self._file = file
        self._replace = replace
        self._loader = YamlLoader("")
        self._count = 0
        self.lines: dict[FieldPath, int] = {}

    def value(self, node: yaml.Node, path: FieldPath) -> Any:
        """The value of *node*, which stands at *path*."""
        self._count += 1
        if self._count > NODE_LIMIT or len(path) > DEPTH_LIMIT:
            raise self._error(node, "too many values, or an alias that contains itself")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, at)) for at, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        later = []
        for key, content in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key must be a string")
            if key.value == "<<" and not key.style:
                later.append(content)
                continue
            if key.value in own:
                raise self._error(key, f"{key.value!r} is duplicated")
            self.lines[*path, key.value] = key.start_mark.line + 1
            own[key.value] = self.value(content, (*path, key.value))
        for content in later:
            sources = content.value if isinstance(content, yaml.SequenceNode) else [content]
            for each in sources:
                if not isinstance(each, yaml.MappingNode):
                    raise self._error(content, "`<<` takes a mapping or a list of mappings")
                merged = {**self.value(each, path), **merged}
        return {**merged, **own}

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self._error(node, f"cannot read {str(node.value)[:40]!r}") from error
        if not isinstance(value, str):
            return value
        try:
            return self._replace(value)
        except ValueError as error:
            raise self._error(node, str(error)) from error

    def _error(self, node: yaml.Node, text: str) -> ComposeError:
        return ComposeError(f"{self._file}:{node.start_mark.line + 1}: {text}")
