"""Messages on the wire, as docs/protocol.md, "Envelope", has them.

Written for nodes on the packages `json` and `msgpack`, and sharing nothing with the server, which
has its own in `broker.messages`: two implementations of one page check each other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgpack

from agent_sim.errors import UnreadableMessage

REQUEST_ID = "x-baetyl-request-id"
SEQUENCE = "seq"
RUN = "run"
INTERVAL = "interval"
SYNC = "sync"

MetaValue = str | int

_JSON_STARTS = (b"{", b" ", b"\t", b"\r", b"\n")


class MessageKind(StrEnum):
    """The kind of a message."""

    REPORT = "report"
    STATS = "stats"
    DESIRE = "desire"
    RENEW = "renew"
    COMMAND = "command"
    ERROR = "error"


class WireFormat(StrEnum):
    """How messages are written as bytes."""

    JSON = "json"
    MSGPACK = "msgpack"


@dataclass(frozen=True, slots=True)
class NodeMessage:
    """One envelope, with *content* as plain data."""

    kind: str
    content: Any = None
    meta: Mapping[str, MetaValue] = field(default_factory=dict)


def encode(message: NodeMessage, wire_format: WireFormat) -> bytes:
    """Write *message*; ValueError or OverflowError for a number that cannot be written."""
    document = {"kind": message.kind, "meta": dict(message.meta), "content": message.content}
    if wire_format is WireFormat.JSON:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    packed: bytes = msgpack.packb(document)
    return packed


def decode(payload: bytes) -> NodeMessage:
    """Read one envelope in either format; UnreadableMessage names what is wrong."""
    try:
        document = _loaded(payload) if payload[:1] in _JSON_STARTS else _unpacked(payload)
    # What msgpack raises is a ValueError, or a class of its own that is one.
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise UnreadableMessage(str(error) or type(error).__name__) from error
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise UnreadableMessage("it has no kind")
    meta = document.get("meta", {})
    if not isinstance(meta, dict) or not all(map(_is_entry, meta.items())):
        raise UnreadableMessage("its meta is not a map to strings and integers")
    return NodeMessage(document["kind"], document.get("content"), meta)


def _loaded(payload: bytes) -> Any:
    return json.loads(payload, parse_constant=_no_constant)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _unpacked(payload: bytes) -> Any:
    return msgpack.unpackb(payload, ext_hook=_no_extension)


def _no_extension(code: int, _: bytes) -> Any:
    raise ValueError(f"extension type {code} is none of the protocol's")


def _is_entry(entry: tuple[Any, Any]) -> bool:
    name, value = entry
    return isinstance(name, str) and isinstance(value, str | int) and not isinstance(value, bool)
