"""Reads the part of TOML that settings need: `key = value` lines, no tables.

Python has a reader of its own from 3.11 on only. A value is true, false, a number without fraction,
a text in double or single quotes without escapes other than those of JSON, or a list of texts,
which may go on over lines. All else is refused, by its line: a policy that is read wrongly is worse
than none.
"""

from __future__ import annotations

import json
import re
from typing import List, Union

Value = Union[bool, int, str, List[str]]

_KEY = re.compile(r"([A-Za-z0-9_-]+)[ \t]*=[ \t]*")
_BASIC = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\["\\bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})*"'
_TOKEN = re.compile(
    rf"(?P<text>{_BASIC})|(?P<literal>'[^'\x00-\x08\x0a-\x1f\x7f]*')|(?P<flag>true|false)"
    r"|(?P<number>[+-]?(?:0|[1-9][0-9]{0,17}))(?![0-9A-Za-z_.:-])|(?P<open>\[)"
)
_COMMENT = r"#[^\x00-\x08\x0a-\x1f\x7f]*"
_GAP = re.compile(rf"(?:[ \t\n]|{_COMMENT})*")
_END = re.compile(rf"[ \t]*(?:{_COMMENT})?(?:\n|$)")


class TomlError(Exception):
    """A text that is not what this module reads."""


def read_toml(text: str) -> dict[str, Value]:
    """The keys and values of *text*; TomlError states in which line it is wrong."""
    text = text.replace("\r\n", "\n")
    found: dict[str, Value] = {}
    place = _skip(text, 0)
    while place < len(text):
        key = _KEY.match(text, place)
        if not key:
            raise _error(text, place, "expected `key = value`")
        if key.group(1) in found:
            raise _error(text, place, f"{key.group(1)} is there twice")
        value, place = _value(text, key.end())
        found[key.group(1)] = value
        end = _END.match(text, place)
        if not end:
            raise _error(text, place, "expected the end of the line")
        place = _skip(text, end.end())
    return found


def _value(text: str, place: int) -> tuple[Value, int]:
    token = _TOKEN.match(text, place)
    if not token:
        raise _error(text, place, "expected true, false, a number, a text or a list of texts")
    if token.group("open"):
        return _texts(text, token.end())
    if token.group("flag"):
        return token.group("flag") == "true", token.end()
    if token.group("number"):
        return int(token.group("number")), token.end()
    return _text(token), token.end()


def _texts(text: str, place: int) -> tuple[list[str], int]:
    """A list, from behind its bracket on."""
    found: list[str] = []
    while True:
        place = _skip(text, place)
        if text[place : place + 1] == "]":
            return found, place + 1
        token = _TOKEN.match(text, place)
        if not token or not (token.group("text") or token.group("literal")):
            raise _error(text, place, "expected a text or the end of the list")
        found.append(_text(token))
        place = _skip(text, token.end())
        if text[place : place + 1] == ",":
            place += 1
        elif text[place : place + 1] != "]":
            raise _error(text, place, "expected a comma or the end of the list")


def _text(token: re.Match[str]) -> str:
    literal = token.group("literal")
    return literal[1:-1] if literal else str(json.loads(token.group("text"), strict=False))


def _skip(text: str, place: int) -> int:
    gap = _GAP.match(text, place)
    return gap.end() if gap else place


def _error(text: str, place: int, why: str) -> TomlError:
    return TomlError(f"line {text.count(chr(10), 0, place) + 1}: {why}")
