"""Parse and match label selectors (the Kubernetes grammar, as the contract's "List Node" shows).

`env=test`, `env==test`, `env!=test`, `env in (dev,test)`, `env notin (dev)`, `env` (has it),
`!env` (has it not), `cores>2`, `cores<8`; a comma means and.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from cloud.errors import Invalid

LENGTH_LIMIT = 4096
"""Characters in one selector."""


class Operator(StrEnum):
    """How one term compares."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    MISSING = "missing"
    GREATER = "greater"
    LESS = "less"


@dataclass(frozen=True, slots=True)
class Term:
    """One term: the label *key* compares by *operator* with *values*."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds_for(self, labels: Mapping[str, str]) -> bool:
        """Say whether *labels* satisfy this term; a missing label satisfies `!=` and `notin`."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.MISSING:
                return value is None
            case Operator.GREATER:
                return _is_integer(value) and int(value or 0) > int(self.values[0])
            case Operator.LESS:
                return _is_integer(value) and int(value or 0) < int(self.values[0])


Selector = tuple[Term, ...]

_KEY = r"(?P<key>[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?)"
_VALUE = r"(?P<value>(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?)"
_SET = re.compile(rf"{_KEY}\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_COMPARE = re.compile(rf"{_KEY}\s*(?P<operator>==|=|!=|>|<)\s*{_VALUE}")
_HAS = re.compile(rf"(?P<not>!?)\s*{_KEY}")
_VALUE_ALONE = re.compile(_VALUE)
_SEPARATOR = re.compile(r",(?![^()]*\))")
_INTEGER = re.compile(r"-?[0-9]{1,18}")


@lru_cache(maxsize=4096)
def parse_selector(text: str, field: str = "selector") -> Selector:
    """Terms of *text*, none for white space; Invalid names *field* and the unreadable term."""
    if len(text) > LENGTH_LIMIT:
        raise Invalid(field, f"longer than {LENGTH_LIMIT} characters")
    if not text.strip():
        return ()
    return tuple(_term(part.strip(), field) for part in _SEPARATOR.split(text))


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Say whether *labels* satisfy every term; no terms are always satisfied."""
    return all(term.holds_for(labels) for term in selector)


def _term(text: str, field: str) -> Term:
    if found := _SET.fullmatch(text):
        values = tuple(value.strip() for value in found["values"].split(","))
        if not all(_VALUE_ALONE.fullmatch(value) for value in values):
            raise Invalid(field, f"cannot read the values of {text!r}")
        return Term(found["key"], Operator(found["operator"]), values)
    if found := _COMPARE.fullmatch(text):
        return _comparison(found["key"], found["operator"], found["value"], text, field)
    if found := _HAS.fullmatch(text):
        return Term(found["key"], Operator.MISSING if found["not"] else Operator.EXISTS)
    raise Invalid(field, f"cannot read {text!r}")


def _comparison(key: str, operator: str, value: str, text: str, field: str) -> Term:
    if operator in {"=", "=="}:
        return Term(key, Operator.IN, (value,))
    if operator == "!=":
        return Term(key, Operator.NOT_IN, (value,))
    if not _is_integer(value):
        raise Invalid(field, f"{text!r} compares with something that is no integer")
    return Term(key, Operator.GREATER if operator == ">" else Operator.LESS, (value,))


def _is_integer(value: str | None) -> bool:
    return value is not None and _INTEGER.fullmatch(value) is not None
