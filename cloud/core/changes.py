"""What differs between two states of a thing, and how that looks without its secret values."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from cloud.core.app import App
from cloud.core.batch import Batch, Record
from cloud.core.callback import Callback
from cloud.core.commands import Command
from cloud.core.config import Config
from cloud.core.guard import ChangeGuard
from cloud.core.mask import MASK
from cloud.core.node import Node
from cloud.core.properties import Properties
from cloud.core.registry import Registry
from cloud.core.secret import Secret
from cloud.core.system_apps import SystemApps
from cloud.core.tokens import ApiToken

MEMBER_LIMIT = 4096
"""Bytes of one member, as JSON, that are stored; of more only how many, and their SHA-256."""

_Sealed = Config | Secret | Registry | SystemApps
Noun = (
    App | _Sealed | ChangeGuard | Node | Properties | Batch | Record | Callback | ApiToken | Command
)

_HIDDEN: Mapping[type, tuple[str, ...]] = {
    Batch: ("securityKey",),
    # Where it leads, and what with, can be what opens the receiver's door.
    Callback: ("url", "params", "header", "body", "secret"),
}


class Hidden:
    """A value that takes part in comparisons and is never shown; nothing encodes it."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(Hidden)


def described(noun: Noun) -> Mapping[str, Any]:
    """The specification of *noun*; encrypted fields are hidden.

    All values of a config are hidden: a config is stored encrypted, the log is not.
    """
    match noun:
        case Node():
            return {**_plain(noun.spec), "mode": noun.mode, "core": msgspec.to_builtins(noun.core)}
        case ChangeGuard():
            return _plain(noun.spec)
        case Properties():
            return {"desire": noun.desire}
        case App():
            return {**_plain(noun.spec), "version": noun.version}
        case Config() | Secret() | Registry() | SystemApps():
            return {**_plain(noun.spec), **_hidden_of(noun), "version": noun.version}
        case Batch() | Callback():
            plain = _plain(noun.spec)
            return {**plain, **{name: Hidden(plain[name]) for name in _HIDDEN[type(noun)]}}
        case Record():
            return {
                "fingerprintValue": noun.fingerprint,
                "nodeName": noun.node_name,
                "active": int(noun.active),
                "activeIp": noun.active_ip,
            }
        case Command():
            return {"command": noun.command, "app": noun.app, "lines": noun.lines}
        case ApiToken():
            return {"role": noun.role, "expires": noun.expires}


def _hidden_of(noun: _Sealed) -> Mapping[str, Any]:
    """Those members of its description that hold something to hide, with that hidden."""
    match noun:
        case Config():
            return {"data": {item.key: Hidden(item.value) for item in noun.spec.data}}
        case Secret():
            return {"data": {key: Hidden(value) for key, value in noun.spec.data.items()}}
        case Registry():
            return {"password": Hidden(noun.spec.password)}
        case SystemApps():
            return {
                "modules": {one.name.value: one.image for one in noun.spec.modules},
                "configs": {one.name.value: Hidden(one.config) for one in noun.spec.modules},
            }


def difference(before: Noun | None, after: Noun | None) -> tuple[str, str]:
    """What is other in *before* and in *after*, each as JSON; "" where there was, or is, nothing.

    Maps are compared member by member. A value that must not be seen is masked on both sides: that
    it is there shows that it changed.
    """
    was = None if before is None else described(before)
    now = None if after is None else described(after)
    if was is not None and now is not None:
        was, now = _differing(was, now)
    return _shown(was), _shown(now)


def _plain(spec: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(spec)
    return found


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


def masked(value: Any) -> Any:
    """*value* as it may be shown, whatever is hidden in it."""
    if isinstance(value, Hidden):
        return MASK
    if isinstance(value, Mapping):
        return {key: masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner) for inner in value]
    return value


def cut(value: Any) -> Any:
    """*value*, or only how many bytes it has as JSON, and their SHA-256, if they are many."""
    text = msgspec.json.encode(value, order="sorted")
    if len(text) <= MEMBER_LIMIT:
        return value
    return {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
