"""The one envelope, in JSON or MessagePack (docs/protocol.md, "Envelope").

Both encodings carry the same values: null, booleans, integers, floats, strings, arrays and maps
with string keys. The first byte tells them apart: a JSON object starts with `{` (or white space),
a MessagePack map with 0x80-0x8f, 0xde or 0xdf.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from broker.errors import MalformedMessage

REQUEST_ID = "x-baetyl-request-id"
SEQUENCE = "seq"
RUN = "run"
SYNC = "sync"
WARNING = "warning"

MetaValue = str | int


class Kind(StrEnum):
    """What a message is about; the values stock Baetyl agents use, plus `stats`."""

    REPORT = "report"
    STATS = "stats"
    DESIRE = "desire"
    ERROR = "error"


class Encoding(StrEnum):
    """How a message is written as bytes."""

    JSON = "json"
    MSGPACK = "msgpack"


@dataclass(frozen=True, slots=True)
class Message:
    """One envelope; *content* is plain data: None, bool, int, float, str, list, dict."""

    kind: str
    content: Any = None
    meta: Mapping[str, MetaValue] = field(default_factory=dict)


class _Envelope(msgspec.Struct):
    kind: str
    content: Any = None
    meta: dict[str, MetaValue] = msgspec.field(default_factory=dict)


_JSON_DECODER = msgspec.json.Decoder(_Envelope)
_MSGPACK_DECODER = msgspec.msgpack.Decoder(_Envelope, ext_hook=None)
_JSON_ENCODER = msgspec.json.Encoder()
_MSGPACK_ENCODER = msgspec.msgpack.Encoder()

_JSON_STARTS = frozenset(b"{ \t\r\n")
_MSGPACK_STARTS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})


def encoding_of(payload: bytes) -> Encoding:
    """Encoding of *payload*, told by its first byte; MalformedMessage if it is neither."""
    if payload and payload[0] in _JSON_STARTS:
        return Encoding.JSON
    if payload and payload[0] in _MSGPACK_STARTS:
        return Encoding.MSGPACK
    raise MalformedMessage("payload: neither a JSON object nor a MessagePack map")


def decode_message(payload: bytes) -> Message:
    """Read one envelope; MalformedMessage names the field that is wrong."""
    decoder: Any = _JSON_DECODER if encoding_of(payload) is Encoding.JSON else _MSGPACK_DECODER
    try:
        envelope = decoder.decode(payload)
        _JSON_ENCODER.encode(envelope.content)  # only what JSON can say travels further
    except msgspec.ValidationError as error:
        raise MalformedMessage(f"envelope: {error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise MalformedMessage(f"payload: {error}") from error
    return Message(envelope.kind, envelope.content, envelope.meta)


def encode_message(message: Message, encoding: Encoding) -> bytes:
    """Write *message* in *encoding*, keys in the order kind, meta, content."""
    document = {"kind": message.kind, "meta": dict(message.meta), "content": message.content}
    encoder = _JSON_ENCODER if encoding is Encoding.JSON else _MSGPACK_ENCODER
    return encoder.encode(document)
