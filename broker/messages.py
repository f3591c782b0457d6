"""The one envelope, in JSON or MessagePack (docs/protocol.md, "Envelope").

Both encodings carry the same values: null, booleans, integers, floats, strings, arrays and maps
with string keys. The first byte tells them apart: a JSON object starts with `{` (or white space),
a MessagePack map with 0x80-0x8f, 0xde or 0xdf.

JSON is written so that stock Baetyl agents read it as it is meant: see `encode_json`.

What only one of them can express is refused: binary, times, extension types, NaN and infinities,
keys that are not strings, integers beyond 64 bits. So is nesting that could exhaust a recursive
reader.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from broker.errors import MalformedMessage
from broker.value_counts import VALUES_LIMIT, has_too_many_values

REQUEST_ID = "x-baetyl-request-id"
SEQUENCE = "seq"
RUN = "run"
INTERVAL = "interval"
SYNC = "sync"
NAME = "name"
SOURCE = "source"
WARNING = "warning"

MAX_DEPTH = 64
"""Arrays and maps within each other in the content."""

_SHALLOW = 8
"""As deep as nearly every message is at most; such content is checked while it is decoded."""

MetaValue = str | int


class NodeMessageKind(StrEnum):
    """The kind of a message; the values stock Baetyl agents use, plus `stats`, `renew` and
    `command`."""

    REPORT = "report"
    STATS = "stats"
    DESIRE = "desire"
    RENEW = "renew"
    COMMAND = "command"
    ERROR = "error"


class Encoding(StrEnum):
    """How a message is written as bytes."""

    JSON = "json"
    MSGPACK = "msgpack"


class Message(msgspec.Struct, frozen=True, eq=False):
    """One envelope; *content* is plain data: None, bool, int, float, str, list, dict.

    *depth* is how many lists and maps may be within each other in it; it may be fewer, and is
    nothing that two messages differ in.
    """

    kind: str
    content: Any = None
    meta: Mapping[str, MetaValue] = msgspec.field(default_factory=dict)
    depth: int = MAX_DEPTH

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (self.kind, self.content, self.meta) == (other.kind, other.content, other.meta)

    __hash__ = None  # type: ignore[assignment]  # nor has its content


_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Envelope(msgspec.Struct):
    kind: str
    content: Any = None
    meta: dict[str, str | _Integer] = msgspec.field(default_factory=dict)


def _plain(depth: int) -> Any:
    """The type of plain data that is so deep at most."""
    kind: Any = None | bool | int | float | str
    for _ in range(depth):
        kind = None | bool | int | float | str | list[kind] | dict[str, kind]
    return kind


_ShallowEnvelope = msgspec.defstruct(
    "_ShallowEnvelope", [("content", _plain(_SHALLOW), None)], bases=(_Envelope,)
)
_SHALLOW_JSON_DECODER = msgspec.json.Decoder(_ShallowEnvelope)
_SHALLOW_MSGPACK_DECODER = msgspec.msgpack.Decoder(_ShallowEnvelope)
# What begins a float of MessagePack that may be NaN or an infinity, which JSON cannot express.
_FLOATS = (b"\xcb", b"\xca")
_NOT_FINITE = (b"\x7f", b"\xff")
_JSON_DECODER = msgspec.json.Decoder(_Envelope)
_MSGPACK_DECODER = msgspec.msgpack.Decoder(_Envelope)
_PLAIN_DECODER = msgspec.json.Decoder()
_JSON_ENCODER = msgspec.json.Encoder()
_MSGPACK_ENCODER = msgspec.msgpack.Encoder()

_UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, TypeError)

_JSON_STARTS = frozenset(b"{ \t\r\n")
_MSGPACK_STARTS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})


def encoding_of(payload: bytes) -> Encoding:
    """Encoding of *payload*, by its first byte; MalformedMessage if it is neither."""
    if payload and payload[0] in _JSON_STARTS:
        return Encoding.JSON
    if payload and payload[0] in _MSGPACK_STARTS:
        return Encoding.MSGPACK
    raise MalformedMessage("payload: neither a JSON object nor a MessagePack map")


def decode_message(payload: bytes) -> Message:
    """Read one envelope; MalformedMessage names the field that is wrong."""
    is_json = encoding_of(payload) is Encoding.JSON
    _check_count("payload", payload, is_json=is_json)
    if (message := (_shallow_json if is_json else _shallow_msgpack)(payload)) is not None:
        return message
    decoder: Any = _JSON_DECODER if is_json else _MSGPACK_DECODER
    try:
        envelope = decoder.decode(payload)
        _check_content(envelope.content, payload if is_json else None)
    except msgspec.ValidationError as error:
        raise MalformedMessage(f"envelope: {error}") from error
    except _UNREADABLE as error:
        raise MalformedMessage(f"payload: {error}") from error
    return Message(envelope.kind, envelope.content, envelope.meta)


def _shallow_json(payload: bytes) -> Message | None:
    """Read an envelope of JSON by its type alone; None: it needs a closer look.

    A report of 1 MB takes a third of the time like this.
    """
    try:
        envelope: Any = _SHALLOW_JSON_DECODER.decode(payload)
        _MSGPACK_ENCODER.encode(envelope.content)
    except _UNREADABLE:
        return None
    return Message(envelope.kind, envelope.content, envelope.meta, _SHALLOW)


def _shallow_msgpack(payload: bytes) -> Message | None:
    """Read an envelope of MessagePack by its type alone; None: it needs a closer look.

    A report of 2 kB takes a fifth of the time like this.
    """
    for start in _FLOATS:  # most have none; looking for one byte costs next to nothing
        if start in payload and any(start + exponent in payload for exponent in _NOT_FINITE):
            return None
    try:
        envelope: Any = _SHALLOW_MSGPACK_DECODER.decode(payload)
    except _UNREADABLE:
        return None
    return Message(envelope.kind, envelope.content, envelope.meta, _SHALLOW)


def decode_content(body: bytes) -> Any:
    """Read content without an envelope, in JSON, as it comes over HTTPS; MalformedMessage."""
    _check_count("body", body, is_json=True)
    try:
        content = _PLAIN_DECODER.decode(body)
        _check_content(content, body)
    except _UNREADABLE as error:
        raise MalformedMessage(f"body: {error}") from error
    return content


def encode_message(message: Message, encoding: Encoding) -> bytes:
    """Write *message* in *encoding*, keys in the order kind, meta, content."""
    meta = message.meta if type(message.meta) is dict else dict(message.meta)
    document = {"kind": message.kind, "meta": meta, "content": message.content}
    if encoding is Encoding.JSON:
        return encode_json(document)
    return _MSGPACK_ENCODER.encode(document)


def encode_json(value: Any) -> bytes:
    """Write *value* as JSON text in which no two opening braces stand side by side.

    Stock agents run what they get through Go's text/template before they decode it. There `{{`
    begins an action; as an escape within a JSON string it is the same text, and no action.
    """
    return _JSON_ENCODER.encode(value).replace(b"{{", rb"{\u007b")


def _check_count(what: str, payload: bytes, *, is_json: bool) -> None:
    if has_too_many_values(payload, is_json=is_json):
        raise MalformedMessage(f"{what}: more than {VALUES_LIMIT} values and names")


def _check_content(content: Any, json: bytes | None) -> None:
    # Whatever the other encoding cannot write, or would read back as something else, is refused.
    if json is not None:
        _MSGPACK_ENCODER.encode(content)  # OverflowError on an integer beyond 64 bits
    else:
        json = _JSON_ENCODER.encode(content)
        if _PLAIN_DECODER.decode(json) != content:
            raise MalformedMessage("content: not plain data with string keys")
    # Each level has a bracket; most messages have so few that no check is needed (11 us, measured).
    if json.count(b"[") + json.count(b"{") > MAX_DEPTH and _is_deep(content):
        raise MalformedMessage(f"content: nested deeper than {MAX_DEPTH} levels")


def _is_deep(content: Any) -> bool:
    level = [content]
    for _ in range(MAX_DEPTH + 1):
        level = [value for value in level if isinstance(value, list | dict)]
        if not level:
            return False
        level = [child for value in level for child in _children(value)]
    return True


def _children(value: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
