"""Parse field selectors: `metadata.name=web-*,status.state in (stale,offline)`.

Every list has the fields of its metadata, lists of nodes those of their status as well. A comma
means and. The value of a name may have `*` for any characters; times are compared with `<` and `>`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache

from cloud.core.decoding import convert
from cloud.core.deploys import DeployStatus
from cloud.core.readiness import NodeState
from cloud.core.running import AppStatus
from cloud.core.selectors import LENGTH_LIMIT, Operator, split_terms
from cloud.errors import Invalid

FIELD = "fieldSelector"
"""The parameter that errors name."""

NAME = "metadata.name"
NAMESPACE = "metadata.namespace"
STATE = "status.state"
DEPLOY = "status.deploy"
AGENT = "status.agent"
EXPIRES = "status.certificate.expires"
APPS = "status.apps."
VERSIONS = "status.versions."

METADATA_FIELDS = (NAME, NAMESPACE)
"""Fields of every list."""

NODE_FIELDS = (*METADATA_FIELDS, STATE, DEPLOY, AGENT, EXPIRES, f"{APPS}NAME", f"{VERSIONS}NAME")
"""Fields of a list of nodes; NAME stands for that of an app."""

_VALUES: Mapping[str, Sequence[str]] = {
    STATE: [state.value for state in NodeState],
    DEPLOY: [status.value for status in DeployStatus],
    APPS: [status.value for status in AppStatus],
}
_TEXT = r"[^\s\0,()<>=!]*"
_SET = re.compile(r"(?P<field>[^\s\0,()<>=!]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()\0]*)\)")
_COMPARE = re.compile(
    rf"(?P<field>[^\s\0,()<>=!]+)\s*(?P<operator>==|=|!=|<|>)\s*(?P<value>{_TEXT})"
)
_OPERATORS = {
    "=": Operator.IN,
    "==": Operator.IN,
    "!=": Operator.NOT_IN,
    "in": Operator.IN,
    "notin": Operator.NOT_IN,
    "<": Operator.LESS,
    ">": Operator.GREATER,
}
_GLOB = re.compile(r"[-A-Za-z0-9._+~*]*")
_DURATION = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LEAST_LIKENESS = 0.5


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One term: *field* compares by *operator* with *values*; *app* completes some fields."""

    field: str
    operator: Operator
    values: tuple[str, ...]
    app: str = ""

    @property
    def is_negated(self) -> bool:
        """Return whether it is satisfied by what has none of the values."""
        return self.operator is Operator.NOT_IN


def parse_field_selector(
    text: str, fields: Sequence[str] = METADATA_FIELDS
) -> tuple[FieldTerm, ...]:
    """Terms of *text*, none for white space.

    Invalid for one that cannot be read, whose field is not among *fields* (it names the nearest) or
    whose value the field does not have.
    """
    return _parsed(text, tuple(fields))


@lru_cache(maxsize=256)
def _parsed(text: str, fields: tuple[str, ...]) -> tuple[FieldTerm, ...]:
    if len(text) > LENGTH_LIMIT:
        raise Invalid(FIELD, f"longer than {LENGTH_LIMIT} characters")
    if not text.strip():
        return ()
    return tuple(_term(part.strip(), fields) for part in split_terms(text))


def time_of(value: str, now: datetime) -> datetime:
    """The time that *value* of a term stands for: RFC 3339, or so long from *now*, like 30d.

    Invalid if it is neither.
    """
    found = _DURATION.fullmatch(value)
    if found is not None:
        try:
            return now + timedelta(**{_UNITS[found["unit"]]: int(found["count"])})
        except OverflowError as error:
            raise Invalid(FIELD, f"{value!r} is too far away") from error
    moment: datetime = convert(value, datetime, under=FIELD)
    if moment.tzinfo is None:
        raise Invalid(FIELD, f"{value!r} has no time zone")
    return moment


def nearest(word: str, words: Sequence[str]) -> str:
    """Of *words* the one most like *word*; empty where none is much like it."""
    found = get_close_matches(word, words, 1, _LEAST_LIKENESS)
    return found[0] if found else ""


def _term(text: str, fields: Sequence[str]) -> FieldTerm:
    if found := _SET.fullmatch(text):
        values = tuple(value.strip() for value in found["values"].split(","))
    elif found := _COMPARE.fullmatch(text):
        values = (found["value"],)
    else:
        raise Invalid(
            FIELD,
            f"cannot read {text[:80]!r}: a term is like {fields[0]}=x, with =, != or in (x,y)",
        )
    field, operator, app = found["field"], _OPERATORS[found["operator"]], ""
    for prefix in (APPS, VERSIONS):
        if field.startswith(prefix) and f"{prefix}NAME" in fields and field != prefix:
            field, app = prefix, field.removeprefix(prefix)
    if not app and field not in fields:
        raise Invalid(FIELD, _unknown(f"unknown field {found['field'][:80]!r}", field, fields))
    if (field == EXPIRES) is not (operator in {Operator.LESS, Operator.GREATER}):
        wanted = "< and >" if field == EXPIRES else "=, !=, in and notin"
        raise Invalid(FIELD, f"{found['field'][:80]} is compared with {wanted}")
    for value in values:
        if field in {*METADATA_FIELDS, AGENT} and not _GLOB.fullmatch(value):
            raise Invalid(
                FIELD, f"{found['field']} cannot be {value[:80]!r}; * stands for any text"
            )
        if field in _VALUES and value not in _VALUES[field]:
            words = _VALUES[field]
            raise Invalid(
                FIELD, _unknown(f"{found['field'][:80]} cannot be {value[:80]!r}", value, words)
            )
    return FieldTerm(field, operator, values, app)


def _unknown(what: str, word: str, words: Sequence[str]) -> str:
    likely = nearest(word, words)
    hint = f"; did you mean {likely}?" if likely else ""
    return f"{what}{hint} (there are {', '.join(words)})"
