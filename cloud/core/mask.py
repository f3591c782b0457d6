"""Values that are never shown: what stands for them, and where they are."""

from collections.abc import Iterable, Mapping
from typing import Any

MASK = "********"
"""In a request it keeps the value that is stored."""


class Hidden:
    """A value that takes part in comparisons and is never shown; nothing encodes it."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(Hidden)


def hide(content: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """*content* with what is at *paths* hidden, as `ResourceKind.hidden` names them."""
    hidden = dict(content)
    for path in paths:
        hidden = _hide(hidden, path.replace("[]", ".[]").split("."))
    return hidden


def masked(value: Any) -> Any:
    """*value* as it may be shown, whatever is hidden in it."""
    if isinstance(value, Hidden):
        return MASK
    if isinstance(value, Mapping):
        return {key: masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner) for inner in value]
    return value


def _hide(value: Any, steps: list[str]) -> Any:
    """*value* with what *steps* lead to hidden; as it is where they lead to nothing."""
    if isinstance(value, Hidden):
        return value
    if not steps:
        return Hidden(value)
    step, rest = steps[0], steps[1:]
    if step == "[]" and isinstance(value, list | tuple):
        return [_hide(item, rest) for item in value]
    if not isinstance(value, Mapping):
        return value
    if step == "*":
        return {key: _hide(inner, rest) for key, inner in value.items()}
    name = step.removesuffix("?")
    if name not in value or (name != step and not value[name]):
        return dict(value)
    return {**value, name: _hide(value[name], rest)}
