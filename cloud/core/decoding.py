"""Turn plain data into a typed value, with errors that name the field."""

import re
from typing import Any, TypeVar

import msgspec

from cloud.errors import Invalid

T = TypeVar("T")

_PATH = re.compile(r" - at `(?:key in )?\$?\.?(?P<path>[^`]*)`$")


def convert(content: Any, kind: type[T], *, under: str = "") -> T:
    """Read *content* as a *kind*; Invalid carries the path of the wrong field, below *under*."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise invalid_from(error, under=under) from error
    except RecursionError as error:
        raise Invalid(under, "nested too deeply") from error


def decode_json(body: bytes, kind: type[T]) -> T:
    """Read the JSON text *body* as a *kind*; Invalid says what is wrong and in which field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid_from(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid("", f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise Invalid("", "nested too deeply") from error


def invalid_from(error: msgspec.ValidationError, *, under: str = "") -> Invalid:
    """The same complaint as *error*, with the field taken out of its text."""
    text = str(error)
    found = _PATH.search(text)
    path = found["path"] if found else ""
    reason = text[: found.start()] if found else text
    missing = re.search(r"(?:required|unknown) field `(?P<name>[^`]*)`", reason)
    parts = [under, path, missing["name"] if missing else ""]
    field = ".".join(part for part in parts if part).replace(".[", "[")
    return Invalid(field, reason[:1].lower() + reason[1:])
