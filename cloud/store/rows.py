"""Columns to values and back: moments, documents, and what stands for no limit."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

Row = Sequence[Any]
Parameters = Mapping[str, str | int | None]

ALL = 2**63 - 1
"""As a limit: none; as a time: later than any."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


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


def document(spec: msgspec.Struct) -> str:
    """JSON text of a specification."""
    return msgspec.json.encode(spec).decode()
