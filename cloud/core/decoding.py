"""Turn plain data into a typed value, with errors that name the field."""

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from cloud.errors import Invalid, TooManyValues

T = TypeVar("T")

DEPTH_LIMIT = 32
"""Lists and maps inside each other in free-form content."""

VALUES_LIMIT = 200_000
"""Values in one body; reading them takes a fraction of a second."""

_REASON_LIMIT = 200
_FIELD_LIMIT = 80
_PATH_LIMIT = 1_000

_Place = tuple[Any, str | int]
"""Where a value stands: the place of what holds it, None at the top, and its name or number."""

_PATH = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`$")
_FIELD = re.compile(
    r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.S
)
_TYPE = re.compile(r"`(?P<types>[a-z]+(?: \| [a-z]+)*)`")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'",[{'))
_PLAIN_KEY = re.compile(r"[-._/a-zA-Z0-9]{1,80}")
_GOT = re.compile(r", got `(?P<type>[a-z]+)`")
_STEP = re.compile(r"([^.\[\]]+)(?!\])|\[(\d+)\]")
_TYPES = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
}


def convert(content: Any, kind: type[T], *, under: str = "") -> T:
    """Read *content* as a *kind*; Invalid carries the path of the wrong field, below *under*."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise invalid_from(error, under=under, content=content) from error
    except RecursionError as error:
        raise Invalid(under, "nested too deeply") from error
    except UnicodeEncodeError as error:
        raise Invalid(under, "holds text that is not Unicode") from error


def decode_json(body: bytes, kind: type[T]) -> T:
    """Read the JSON text *body* as a *kind*; Invalid states what is wrong and in which field.

    An object with two members of one name is wrong, too.
    """
    _check_count(body)
    try:
        content = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid_from(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid("", f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise Invalid("", "nested too deeply") from error
    _check_members(body)
    return content


def _check_count(body: bytes) -> None:
    """Refuse JSON of so many values that decoding it would take long, before it is decoded."""
    if _marks(body) > VALUES_LIMIT and _marks(_without_strings(body)) > VALUES_LIMIT:
        raise TooManyValues("json_values", VALUES_LIMIT)


def _without_strings(body: bytes) -> bytes:
    """The structural characters of *body* outside its strings; TooManyValues for too many strings.

    Takes 0.2 s of a thread for 8 MiB at most (measured), and memory of a few times its size.
    """
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    structure = unescaped.translate(None, _NOT_STRUCTURE)
    # A value has at most two strings, itself and its name, and a string has two quotes.
    if structure.count(b'"') > 4 * VALUES_LIMIT:
        raise TooManyValues("json_values", VALUES_LIMIT)
    return b"".join(structure.split(b'"')[::2])


def _marks(body: bytes) -> int:
    """At least as many as there are values, whatever is in strings."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _check_members(body: bytes) -> None:
    """Refuse the JSON text *body* if an object in it has two members of one name.

    RFC 8259, section 4, leaves open which of them counts; decoders take the last without a word.
    Takes 20 us for an app of 1 kB (measured).
    """
    try:
        _members_of(body, _unique)
    except RecursionError as error:
        raise Invalid("", "nested too deeply") from error
    except _RepeatedError as error:
        path = _path_of_repeated(_members_of(body, _marked))
        raise Invalid(path, "is there more than once") from error


class _RepeatedError(Exception):
    """An object has two members of one name."""


class _Repeated(dict[str, Any]):
    """The members of an object that has two of the name *name*."""

    name = ""


def _members_of(body: bytes, hook: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    # Numbers are of no interest here, and some are too large to be read.
    return json.loads(body, object_pairs_hook=hook, parse_int=str, parse_float=str)


def _unique(pairs: list[tuple[str, Any]]) -> Any:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RepeatedError
    return members


def _marked(pairs: list[tuple[str, Any]]) -> Any:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            repeated = _Repeated(pairs)
            repeated.name = name
            return repeated
        seen.add(name)
    return dict(pairs)


def _path_of_repeated(content: Any) -> str:
    # A place is the one above it and a step. Its text is made of one alone: those of all places
    # together can be thousands of times as long as the body.
    level: list[tuple[Any, _Place | None]] = [(content, None)]
    while level:
        inside: list[tuple[Any, _Place | None]] = []
        for value, place in level:
            if isinstance(value, _Repeated):
                return _path_of((place, value.name))
            if isinstance(value, dict):
                inside += [(one, (place, key)) for key, one in value.items()]
            elif isinstance(value, list):
                inside += [(one, (place, index)) for index, one in enumerate(value)]
        level = inside
    return ""


def _path_of(place: _Place | None) -> str:
    """Text of *place*; the end of it, where it is long."""
    steps: list[str] = []
    length = 0
    while place is not None and length <= _PATH_LIMIT:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{_shown_key(step)}")
        length += len(steps[-1])
    text = "".join(reversed(steps)).lstrip(".")
    return text if len(text) <= _PATH_LIMIT else f"...{text[-_PATH_LIMIT:]}"


def _shown_key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else repr(key[:_FIELD_LIMIT])


def invalid_from(
    error: msgspec.ValidationError, *, under: str = "", content: Any = None
) -> Invalid:
    """The same complaint as *error*, with the field taken out of its text and in plain words.

    A value in a map is named with its key where *content* shows which one it is, else as the map.
    """
    text = str(error)
    at = _PATH.search(text)
    path = at["path"].strip(".") if at else ""
    path = _with_key(path, text, content).replace("[...]", "").strip(".")
    reason = text[: at.start()] if at else text
    name = ""
    if found := _FIELD.fullmatch(reason):
        name = found["name"][:_FIELD_LIMIT]
        reason = "missing" if found["what"].startswith("missing") else "unknown field"
    elif reason.startswith("Expected "):
        reason = _TYPE.sub(_in_words, reason)
    reason = reason[:1].lower() + reason[1:_REASON_LIMIT]
    if at and at["key"]:
        reason = f"in a key: {reason}"
    field = ".".join(part for part in (under, path, name) if part).replace(".[", "[")
    return Invalid(field, reason)


def _with_key(path: str, text: str, content: Any) -> str:
    """*path* with the key of the wrong value in place of `[...]` at its end, if that is known.

    Maps are read in order, so it is the first value of the type that was found instead.
    """
    found = _GOT.search(text)
    if found is None or not path.endswith("[...]") or path.count("[...]") > 1:
        return path
    above = path.removesuffix("[...]")
    for name, index in _STEP.findall(above):
        try:
            content = content[name or int(index)]
        except (KeyError, IndexError, TypeError):
            return path
    if isinstance(content, dict):
        for key, value in content.items():
            if type(value) is _TYPES.get(found["type"]):
                return f"{above}.{key}" if _PLAIN_KEY.fullmatch(str(key)) else path
    return path


def check_text(field: str, text: str) -> str:
    """Return *text* if every database can keep it as it is: without U+0000."""
    if "\0" in text:
        raise Invalid(field, "holds a zero character (U+0000)")
    return text


def check_depth(field: str, content: Any) -> None:
    """Refuse *content* that readers with less room on their stack could not decode again."""
    level = [content]
    # On the way of every report: plain data has these three types and no others, and asking for an
    # abstract one took six times as long (94 us of a report's 106).
    for _ in range(DEPTH_LIMIT + 1):
        inside: list[Any] = []
        is_flat = True
        for value in level:
            kind = type(value)
            if kind is dict:
                inside += value.values()
                is_flat = False
            elif kind is list or kind is tuple:
                inside += value
                is_flat = False
        if is_flat:
            return
        level = inside
    raise Invalid(field, f"nested more than {DEPTH_LIMIT} deep")


def _in_words(found: re.Match[str]) -> str:
    types = found["types"].split(" | ")
    return " or ".join(_WORDS.get(name, name) for name in types)
