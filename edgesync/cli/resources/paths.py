"""Paths into answers: `-o jsonpath=...`, `-o custom-columns=...` and `--sort-by`, as kubectl has.

A path has names, `[0]`, `[-1]` and `[*]`: `.items[*].state.name`. A template is text with
expressions in braces: a path, text in quotes, and `{range PATH}...{end}` for each value.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

_STEP = re.compile(
    r"\.?(?:(?P<name>[^.\[\]{}'\s]+)|\[(?P<index>-?[0-9]+|\*)\]|\['(?P<key>[^']*)'\])"
)
_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_RANGE, _END = "range ", "end"


def values_at(path: str, content: Any) -> list[Any]:
    """All that *path* leads to in *content*; UsageError if it cannot be read."""
    found, place, text = [content], 0, path.strip().removeprefix("$").removeprefix("@")
    if text in {"", "."}:
        return found
    while place < len(text):
        step = _STEP.match(text, place)
        if step is None:
            raise click.UsageError(f"{path!r} is no path; write it like .items[0].state.name")
        place = step.end()
        found = [one for value in found for one in _inside(value, step)]
    return found


def value_at(path: str, content: Any) -> Any:
    """The first that *path* leads to; None if it leads nowhere."""
    return next(iter(values_at(path, content)), None)


def rendered(template: str, content: Any) -> str:
    """The text that *template* makes of *content*; UsageError if it cannot be read."""
    parts = _EXPRESSION.split(template)
    text, rest = _rendered(parts, 0, content)
    if rest < len(parts):
        raise click.UsageError("{end} without {range}")
    return text


def columns_in(text: str) -> list[tuple[str, str]]:
    """Titles and paths of `NAME:.name,STATE:.state.name`."""
    columns = []
    for one in text.split(","):
        title, colon, path = one.partition(":")
        if not (title and colon and path):
            raise click.UsageError(f"custom-columns: {one!r} is not TITLE:PATH, like NAME:.name")
        columns.append((title, path))
    return columns


def sort_key(value: Any) -> tuple[bool, bool, Any]:
    """Orders numbers before text, and what has no value last."""
    is_number = isinstance(value, int | float)
    return value is None, not is_number, value if is_number else str(value)


def _inside(value: Any, step: re.Match[str]) -> Iterator[Any]:
    key, index = step["name"] or step["key"], step["index"]
    if key is not None:
        if isinstance(value, Mapping) and key in value:
            yield value[key]
    elif index == "*":
        yield from value.values() if isinstance(value, Mapping) else _items(value)
    elif -len(_items(value)) <= int(index) < len(_items(value)):
        yield _items(value)[int(index)]


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _rendered(parts: Sequence[str], start: int, content: Any) -> tuple[str, int]:
    """The text from *start* to the end of its range, and where that is; expressions are odd."""
    text, place = "", start
    while place < len(parts):
        part = parts[place].strip() if place % 2 else parts[place]
        place += 1
        if place % 2:
            text += part
        elif part == _END:
            return text, place
        elif part.startswith(_RANGE):
            after = _rendered(parts, place, {})[1]
            for value in values_at(part.removeprefix(_RANGE), content):
                text += _rendered(parts, place, value)[0]
            place = after
        elif part[:1] == '"':
            text += _quoted(part)
        else:
            text += " ".join(map(_shown, values_at(part, content)))
    return text, place


def _quoted(part: str) -> str:
    try:
        return str(json.loads(part))
    except ValueError as error:
        raise click.UsageError(f"jsonpath: {{{part}}} is no text in quotes") from error


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
