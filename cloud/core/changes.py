"""Differences between two states of a resource, without its secret values."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from cloud.core.mask import masked
from cloud.core.resource import Noun

MEMBER_LIMIT = 4096
"""Bytes of one member, as JSON, that are stored; of more only how many, and their SHA-256."""


def difference(before: Noun | None, after: Noun | None) -> tuple[str, str]:
    """The differing parts of *before* and *after*, each as JSON; "" where there is nothing.

    Maps are compared member by member. A value that must not be seen is masked on both sides: that
    it is there shows that it changed.
    """
    was = None if before is None else before.described()
    now = None if after is None else after.described()
    if was is not None and now is not None:
        was, now = _differing(was, now)
    return _shown(was), _shown(now)


def _differing(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    was: dict[str, Any] = {}
    now: dict[str, Any] = {}
    for key in {**before, **after}:
        if key not in after:
            was[key] = before[key]
        elif key not in before:
            now[key] = after[key]
        elif before[key] != after[key]:
            was[key], now[key] = before[key], after[key]
            if isinstance(was[key], Mapping) and isinstance(now[key], Mapping):
                was[key], now[key] = _differing(was[key], now[key])
    return was, now


def _shown(state: Mapping[str, Any] | None) -> str:
    if state is None:
        return ""
    members = {key: cut(masked(value)) for key, value in state.items()}
    return msgspec.json.encode(members, order="sorted").decode()


def cut(value: Any) -> Any:
    """*value*, or only how many bytes it has as JSON, and their SHA-256, if they are many."""
    text = msgspec.json.encode(value, order="sorted")
    if len(text) <= MEMBER_LIMIT:
        return value
    return {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
