"""YAML as another way to write JSON: what it can express beyond that is refused.

No aliases, anchors, tags or merge keys; keys are text. A plain scalar means what the core schema of
YAML 1.2 defines: `no` is a word and `true` is not. What is written here is read the same by YAML
1.1.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec
import yaml

from cloud.core.decoding import DEPTH_LIMIT
from cloud.errors import Invalid, TooManyValues

EVENTS_LIMIT = 20_000
"""Keys, values and ends of lists and maps in one body; libyaml takes 3 us for each (measured)."""

DIRECTIVES_LIMIT = 16
"""Lines in one body that begin with `%`, as directives do."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INDEX = re.compile(r"\[([0-9]{1,9})\]")
# A line as directives begin; libyaml compares each `%TAG` with all before it, in one piece.
_DIRECTIVE = re.compile("(?:^\ufeff?|[\r\n\x85\u2028\u2029])%")
_INTEGERS = range(-(2**63), 2**64)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def decode_yaml(body: bytes) -> Any:
    """The content of *body*, one document; Invalid names line and column of an error."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Invalid("", f"the body is not UTF-8: {error.reason}") from error
    if sum(1 for _ in islice(_DIRECTIVE.finditer(text), DIRECTIVES_LIMIT + 1)) > DIRECTIVES_LIMIT:
        raise Invalid("", f"more than {DIRECTIVES_LIMIT} lines of the body begin with %")
    try:
        return _Composer(_counted(yaml.parse(text, Loader=_Loader))).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong(mark, error.problem or "cannot be read") from error
    except yaml.YAMLError as error:
        # A character that YAML has no place for.
        raise Invalid("", f"the body is not YAML: {str(error).splitlines()[0]}") from error


def encode_yaml(value: Any) -> bytes:
    """*value*, which is fit for JSON, in the order it has; text of several lines is a block."""
    plain = msgspec.to_builtins(value)
    text: bytes = yaml.dump(
        plain, Dumper=_Writer, sort_keys=False, allow_unicode=True, encoding="utf-8", width=100
    )
    return text


def place_in_yaml(body: bytes, field: str) -> tuple[int, int] | None:
    """Line and column, from 1, of the *field* of a *body* that `decode_yaml` has read.

    Of a field that is missing those of the nearest one around it; None where there is none.
    """
    node = yaml.compose(body, Loader=_Loader)
    place = None
    while field and (found := _inside(node, field)):
        mark, node, field = found
        place = mark.line + 1, mark.column + 1
    return place


def _inside(node: Any, field: str) -> tuple[Any, Any, str] | None:
    """Mark and node of the first part of *field*, and the rest of it."""
    if isinstance(node, yaml.SequenceNode):
        index = _INDEX.match(field)
        if index is None or int(index[1]) >= len(node.value):
            return None
        item = node.value[int(index[1])]
        return item.start_mark, item, field[index.end() :].removeprefix(".")
    if isinstance(node, yaml.MappingNode):
        # Keys can have dots: the longest one that fits is meant.
        for key, value in sorted(node.value, key=lambda pair: -len(pair[0].value)):
            rest = field.removeprefix(key.value)
            if field.startswith(key.value) and rest[:1] in ("", ".", "["):
                return key.start_mark, value, rest.removeprefix(".")
    return None


def _counted(events: Iterable[Any]) -> Iterator[Any]:
    """*events*, and Invalid after as many as one body may have."""
    for count, event in enumerate(events):
        if count > EVENTS_LIMIT:
            where = f": line {event.start_mark.line + 1}; JSON may hold more"
            raise TooManyValues("yaml_values", EVENTS_LIMIT, where)
        yield event


@dataclass(slots=True)
class _Composer:
    """Makes values of *events*, without going deeper than JSON may."""

    events: Iterator[Any]
    # How many lists and maps are open.
    depth: int = field(default=0)

    def document(self) -> Any:
        """The value of the only document there is."""
        event = next(self.events)  # the stream begins
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            raise Invalid("", "the body is empty")
        value = self._value(next(self.events))
        next(self.events)  # the document ends
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _wrong(event.start_mark, "one document is taken at a time")
        return value

    def _value(self, event: Any) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise _wrong(event.start_mark, "aliases are not taken")
        if event.anchor is not None:
            raise _wrong(event.start_mark, "anchors are not taken")
        if event.tag is not None:
            raise _wrong(event.start_mark, "tags are not taken")
        if isinstance(event, yaml.ScalarEvent):
            return _plain_value(event) if event.implicit[0] else event.value
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise _wrong(event.start_mark, f"nested more than {DEPTH_LIMIT} deep")
        is_list = isinstance(event, yaml.SequenceStartEvent)
        value = self._list() if is_list else self._map()
        self.depth -= 1
        return value

    def _list(self) -> list[Any]:
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._value(event))
        return items

    def _map(self) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _wrong(event.start_mark, "a key is not text")
            if event.anchor is not None or event.tag is not None:
                raise _wrong(event.start_mark, "anchors and tags are not taken")
            if event.value == "<<" and event.implicit[0]:
                raise _wrong(event.start_mark, "merge keys are not taken")
            if event.value in items:
                raise _wrong(event.start_mark, "this key is there already")
            items[event.value] = self._value(next(self.events))
        return items


def _plain_value(event: Any) -> Any:
    text: str = event.value
    if text in _WORDS:
        return _WORDS[text]
    try:
        if _INTEGER.fullmatch(text):
            return _integer(event, int(text))
        if _OTHER_BASE.fullmatch(text):
            return _integer(event, int(text, 0))
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number in (float("inf"), float("-inf")):
                raise _wrong(event.start_mark, "the number is too large")
            return number
    except ValueError as error:
        raise _wrong(event.start_mark, "the number is too large") from error
    if _NOT_FINITE.fullmatch(text):
        raise _wrong(event.start_mark, "this is no number that JSON has")
    return text


def _integer(event: Any, number: int) -> int:
    """*number*, which JSON takes as well: what is larger can be slow to write."""
    if number not in _INTEGERS:
        raise _wrong(event.start_mark, "the number is too large")
    return number


def _is_word(text: str) -> bool:
    """Return whether *text*, written plain, would be read as text."""
    return text not in _WORDS and not any(
        pattern.fullmatch(text) for pattern in (_INTEGER, _OTHER_BASE, _FLOAT, _NOT_FINITE)
    )


class _Writer(_Dumper):  # type: ignore[misc]
    """Quotes what either version of YAML would take for something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
        """The same thing twice is written twice."""
        return True


def _written_text(writer: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    if style is None and not _is_word(text):
        style = "'"
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _written_text)


def _wrong(mark: Any, reason: str) -> Invalid:
    if mark is None:
        return Invalid("", f"the body is not understood: {reason}")
    line, column = mark.line + 1, mark.column + 1
    where = f"line {line}, column {column}: "
    return Invalid("", f"the body is not understood: {where}{reason}", line=line, column=column)
