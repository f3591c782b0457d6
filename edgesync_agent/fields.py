"""Reads maps field by field, and knows afterwards which fields were never read."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Mapping

from edgesync_agent.files import safe

_QUANTITY = re.compile(
    r"([0-9]{1,18}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})([a-zA-Z]{0,2}|[eE][+-]?[0-9]{1,2})"
)
_FACTORS = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "K": Decimal(1000),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{letter + "i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
_SHOWN = 80  # characters of a wrong value in a message


class SpecError(Exception):
    """An app asks for something that this agent cannot do; *field* names it."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field


class Fields:
    """One map at *path* of a body; SpecError for a value of the wrong kind.

    Null and a missing field are the same. Call `end` once all fields are read.
    """

    def __init__(self, path: str, content: Any) -> None:
        if not isinstance(content, Mapping):
            raise SpecError(path or "app", "is not a map")
        self.path = path
        self.content = dict(content)

    def plain(self, key: str) -> Any:
        """The value, whatever it is; None where there is none."""
        return self.content.pop(key, None)

    def ignore(self, *keys: str) -> bool:
        """Leave out fields that ask nothing of a node; always true."""
        for key in keys:
            self.content.pop(key, None)
        return True

    def text(self, key: str) -> str:
        """A text; empty where there is none."""
        value: str = self._value(key, str, "", "text")
        return value

    def name(self) -> str:
        """The field `name`, of which no path can be built."""
        try:
            return safe(self.plain("name"))
        except ValueError as error:
            raise SpecError(self._at("name"), str(error)) from error

    def choice(self, key: str, values: tuple[str, ...], default: str) -> str:
        """One of *values*; *default* where it is missing or empty."""
        value = self.text(key) or default
        if value not in values:
            known = ", ".join(filter(None, values))
            raise SpecError(self._at(key), f"{value[:_SHOWN]!r} is none of {known}")
        return value

    def flag(self, key: str) -> bool:
        """A boolean; false where there is none."""
        return self._value(key, bool, None, "boolean") is True

    def count(self, key: str, default: int) -> int:
        """A number from 0 on, without a fraction."""
        value: int = self._value(key, int, default, "whole number")
        if isinstance(value, bool) or not 0 <= value < 2**31:
            raise SpecError(self._at(key), "is out of range")
        return value

    def number(self, key: str, default: float) -> float:
        """A number from 0 on."""
        value = self.plain(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
            raise SpecError(self._at(key), "is not a number that can be used")
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        values = self._list(key)
        if not all(isinstance(value, str) for value in values):
            raise SpecError(self._at(key), "is not a list of texts")
        return tuple(values)

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """A map of text to text, in the order of its keys."""
        fields = self.map(key)
        if fields is None:
            return ()
        return tuple((name, fields.text(name)) for name in sorted(fields.content))

    def map(self, key: str) -> Fields | None:
        """A map, as fields of its own; None where there is none."""
        value = self.plain(key)
        return None if value is None else Fields(self._at(key), value)

    def maps(self, key: str) -> list[Fields]:
        """A list of maps."""
        values = self._list(key)
        return [Fields(f"{self._at(key)}[{index}]", value) for index, value in enumerate(values)]

    def end(self) -> None:
        """Refuse what was not read and is not empty."""
        for key, value in sorted(self.content.items()):
            if value not in (None, "", 0, False) and value != [] and value != {}:
                raise SpecError(self._at(key)[:_SHOWN], "this agent cannot do that")

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _list(self, key: str) -> list[Any]:
        value = self.plain(key)
        if value is not None and not isinstance(value, (list, tuple)):
            raise SpecError(self._at(key), "is not a list")
        return list(value or ())

    def _value(self, key: str, kind: type, default: Any, word: str) -> Any:
        value = self.plain(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise SpecError(self._at(key), f"is not a {word}")
        return value


def bytes_of(field: str, value: Any) -> int:
    """Memory in bytes of a Kubernetes quantity; 0 where there is none."""
    return int(_quantity(field, value).to_integral_value())


def nano_cpus_of(field: str, value: Any) -> int:
    """CPU in 1e-9 cores of a Kubernetes quantity; 0 where there is none."""
    return int((_quantity(field, value) * 10**9).to_integral_value())


def duration_of(field: str, value: Any, default: float) -> float:
    """Seconds of a number of nanoseconds."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise SpecError(field, "is not a number of nanoseconds")
    return value / 1e9


def port_of(field: str, value: Any, least: int = 1) -> int:
    """A number of a port, also as text; names of ports are not known here."""
    if isinstance(value, str) and value.isdigit() and len(value) <= 5:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 65535:
        raise SpecError(field, f"{str(value)[:_SHOWN]!r} is not a port from {least} to 65535")
    return value


def _quantity(field: str, value: Any) -> Decimal:
    if value is None or value == "":
        return Decimal(0)
    found = None if isinstance(value, bool) else _QUANTITY.fullmatch(str(value).strip())
    factor = found and _FACTORS.get(found.group(2))
    if found and factor is None and found.group(2)[0] in "eE" and len(found.group(2)) > 1:
        factor = Decimal(f"1{found.group(2)}")
    if not found or factor is None:
        raise SpecError(field, f"{str(value)[:_SHOWN]!r} is not a quantity such as 500m or 64Mi")
    return Decimal(found.group(1)) * factor
