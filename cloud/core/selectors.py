"""Parse and match label selectors (the Kubernetes grammar, as the contract's "List Node" shows).

`env=test`, `env==test`, `env!=test`, `env in (dev,test)`, `env notin (dev)`, `env` (has it),
`!env` (has it not), `cores>2`, `cores<8`; a comma means and. As in Kubernetes, `env=` asks for an
empty value, `env in ()` and a comma without a term beside it are errors.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from cloud.core.names import check_label_key, check_label_value
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
        """Return whether *labels* satisfy this term; a missing label satisfies `!=` and `notin`."""
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
                return (number := integer_of(value)) is not None and number > int(self.values[0])
            case Operator.LESS:
                return (number := integer_of(value)) is not None and number < int(self.values[0])


Selector = tuple[Term, ...]

_SPACES = " \t\r\n"
_KEY = r"(?P<key>[-A-Za-z0-9_./]+)"
_SET = re.compile(rf"{_KEY}[{_SPACES}]+(?P<operator>in|notin)[{_SPACES}]*\((?P<values>[^()]*)\)")
_COMPARE = re.compile(
    rf"{_KEY}[{_SPACES}]*(?P<operator>==|=|!=|>|<)[{_SPACES}]*(?P<value>[-A-Za-z0-9_.]*)"
)
_HAS = re.compile(rf"(?P<not>!?)[{_SPACES}]*{_KEY}")
_INTEGER = re.compile(r"-?[0-9]{1,63}")
_SHOWN_LIMIT = 80
_OPERATORS = {
    "=": Operator.IN,
    "==": Operator.IN,
    "!=": Operator.NOT_IN,
    ">": Operator.GREATER,
    "<": Operator.LESS,
}


@lru_cache(maxsize=4096)
def parse_selector(text: str, field: str = "selector") -> Selector:
    """Terms of *text*, none for white space; Invalid names *field* and the unreadable term."""
    if len(text) > LENGTH_LIMIT:
        raise Invalid(field, f"longer than {LENGTH_LIMIT} characters")
    if not text.strip(_SPACES):
        return ()
    return tuple(_term(part.strip(_SPACES), field) for part in split_terms(text))


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Return whether *labels* satisfy every term; no terms are always satisfied."""
    return all(term.holds_for(labels) for term in selector)


def split_terms(text: str) -> Iterator[str]:
    """*text* cut at the commas outside of parentheses."""
    start = depth = 0
    for place, character in enumerate(text):
        if character == "," and depth == 0:
            yield text[start:place]
            start = place + 1
        depth += (character == "(") - (character == ")")
    yield text[start:]


def _term(text: str, field: str) -> Term:
    if found := _SET.fullmatch(text):
        operator = Operator(found["operator"])
        if not found["values"].strip(_SPACES):
            raise Invalid(field, f"{_shown(text)} names no values")
        values = tuple(value.strip(_SPACES) for value in found["values"].split(","))
    elif found := _COMPARE.fullmatch(text):
        values = (found["value"],)
        operator = _OPERATORS[found["operator"]]
        if operator in {Operator.GREATER, Operator.LESS} and integer_of(values[0]) is None:
            raise Invalid(field, f"{_shown(text)} compares with something that is no integer")
    elif found := _HAS.fullmatch(text):
        operator, values = Operator.MISSING if found["not"] else Operator.EXISTS, ()
    else:
        raise Invalid(field, f"cannot read {_shown(text)}")
    for value in values:
        check_label_value(field, value)
    return Term(check_label_key(field, found["key"]), operator, values)


def integer_of(value: str | None) -> int | None:
    """Number by which `<` and `>` compare *value*, if it is one that fits into 64 bits."""
    if value is None or not _INTEGER.fullmatch(value):
        return None
    number = int(value)
    return number if -(2**63) <= number < 2**63 else None


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_LIMIT])
