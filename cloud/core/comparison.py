"""Two states of a thing side by side, path by path and as text; no secret value shows.

Members of a list that all have a `name`, or a `key`, of their own are compared by it; of any other
list the whole of it before and after is given.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from cloud.core.changes import cut
from cloud.core.mask import MASK, Hidden, masked

TEXT_LIMIT = 256 * 1024
"""Bytes of a state, as JSON, that is compared line by line; of more there is no text."""

LINE_LIMIT = 3000
"""Lines of such a state: time grows with their square, and some texts would take minutes."""

_CHANGED = f"{MASK} (changed)"
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_ABSENT: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Change:
    """The difference at *path*; None where there was, or is, nothing."""

    path: str
    before: Any
    after: Any


def changes_between(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> list[Change]:
    """All that differs, in the order of *before*; hidden values masked, long ones cut.

    Where one of the two is not there at all, what is empty in the other is left out.
    """
    return [
        Change(one.path, cut(masked(one.before)), cut(masked(one.after)))
        for one in _differing("", *_filled(before, after))
    ]


def text_of_changes(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, names: tuple[str, str]
) -> str:
    """The same as a unified diff of YAML, headed by *names*; "" if one of them is large."""
    differing = {one.path for one in _differing("", *_filled(before, after)) if _is_hidden(one)}
    was, now = _shown(before, "", frozenset()), _shown(after, "", differing)
    if any(len(msgspec.json.encode(state)) > TEXT_LIMIT for state in (was, now)):
        return ""
    from cloud.core.state_text import lines_of  # loads YAML, which no start needs

    was_lines, now_lines = lines_of(was), lines_of(now)
    if max(len(was_lines), len(now_lines)) > LINE_LIMIT:
        return ""
    lines = difflib.unified_diff(was_lines, now_lines, *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _filled(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if before is not None and after is not None:
        return before, after
    return tuple(  # type: ignore[return-value]
        {key: value for key, value in (state or {}).items() if value not in ("", [], (), {}, None)}
        for state in (before, after)
    )


def _differing(path: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    was, now = _members(path, before), _members(path, after)
    if was is None or now is None or not _same_order(was, now, before):
        yield Change(path, before, after)
        return
    for inner in {**was, **now}:
        yield from _differing(inner, was.get(inner), now.get(inner))


def _members(path: str, value: Any) -> Mapping[str, Any] | None:
    """The parts of *value* by path; None if it is compared as a whole."""
    if isinstance(value, Mapping):
        return {_below(path, str(key)): inner for key, inner in value.items()}
    if isinstance(value, list | tuple):
        for word in ("name", "key"):
            names = [inner.get(word) if isinstance(inner, Mapping) else None for inner in value]
            if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
                return {f"{path}[{name}]": inner for name, inner in zip(names, value, strict=True)}
    return None


def _same_order(was: Mapping[str, Any], now: Mapping[str, Any], before: Any) -> bool:
    """Whether what is in both stands in the same order, where there is an order."""
    if isinstance(before, Mapping):
        return True
    return [path for path in was if path in now] == [path for path in now if path in was]


def _below(path: str, key: str) -> str:
    if not _PLAIN.fullmatch(key):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def _is_hidden(change: Change) -> bool:
    return isinstance(change.before, Hidden) and isinstance(change.after, Hidden)


def _shown(value: Any, path: str, differing: frozenset[str] | set[str]) -> Any:
    """*value* with what is hidden masked, and marked as changed at the paths in *differing*."""
    if isinstance(value, Hidden):
        return _CHANGED if path in differing else MASK
    members = _members(path, value)
    if members is None:
        return masked(value)
    shown = [_shown(inner, where, differing) for where, inner in members.items()]
    return dict(zip(value, shown, strict=True)) if isinstance(value, Mapping) else shown
