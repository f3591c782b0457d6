"""Columns to values and back: moments, documents, when nodes were heard, and no limit."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cloud.core.readiness import Heard, ReportCadence

Row = Sequence[Any]
Parameters = Mapping[str, str | int | None]

ALL = 2**63 - 1
"""As a limit: none; as a time: later than any."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WORDS = msgspec.json.Decoder(list[str])
_ROWS = msgspec.json.Decoder(list[list[Any]])


def micros(moment: datetime) -> int:
    """Microseconds since the epoch; *moment* has to be aware."""
    since = moment - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def micros_or_none(when: datetime | None) -> int | None:
    """As `micros`, where there may be none."""
    return None if when is None else micros(when)


def moment(count: int) -> datetime:
    """The moment that `micros` made *count* of, in UTC."""
    return _EPOCH + count * _MICROSECOND


def moment_or_none(count: int | None) -> datetime | None:
    """As `moment`, where there may be none."""
    return None if count is None else moment(count)


def span(count: int) -> timedelta:
    """The duration of *count* microseconds."""
    return count * _MICROSECOND


def document(spec: msgspec.Struct) -> str:
    """JSON text of a specification."""
    return msgspec.json.encode(spec).decode()


def json_text(words: Sequence[str]) -> str:
    """A JSON array of *words*, for a statement with `{elements}` of it."""
    return msgspec.json.encode(words).decode()


def json_words(text: str) -> Sequence[str]:
    """The words of a JSON array, as `json_text` writes it."""
    return _WORDS.decode(text)


def json_rows(found: Sequence[Row]) -> Sequence[Row]:
    """The rows that a statement has found as one row with one JSON array; null is none."""
    return _ROWS.decode(found[0][0] or "[]")


def heard_of(row: Row) -> Heard:
    """When a node was heard: of a report, received, usage_received and its cadence."""
    received, usage_received, interval, longest, since, reported = row
    cadence = ReportCadence(
        span(interval),
        span(longest),
        moment_or_none(since),
        span(reported),
    )
    return Heard(moment(received), moment_or_none(usage_received), cadence)
