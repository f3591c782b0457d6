"""A message of very many values is refused before it takes memory and time."""

import tracemalloc
from typing import Any

import msgpack
import msgspec
import pytest

from broker.errors import MalformedMessage
from broker.messages import Encoding, Message, decode_content, decode_message, encode_message
from broker.value_counts import VALUES_LIMIT

SIZE = 1024 * 1024
ENVELOPE = b"\x82\xa4kind\xa1a\xa7content"
JSON = b'{"kind":"a","content":'


def array(item: bytes) -> bytes:
    """A packet of MessagePack that is filled with *item*."""
    count = SIZE // len(item)
    return ENVELOPE + b"\xdd" + count.to_bytes(4) + item * count


@pytest.mark.parametrize(
    "payload",
    [
        array(b"\x90"),
        array(b"\x80"),
        array(b"\xa1x"),
        array(b"\xcd\x01\x00"),
        array(b"\x91" * 20 + b"\x90"),
        JSON + b"[" + b",".join([b"[]"] * (SIZE // 3)) + b"]}",
        JSON + b"[" + b",".join([b'""'] * (SIZE // 3)) + b"]}",
        JSON + b"[" + b",".join([b"[" * 20 + b"]" * 20] * (SIZE // 41)) + b"]}",
        JSON + b'["' + b'","' * (SIZE // 3) + b'"]}',
    ],
)
def test_a_packet_full_of_small_values_is_refused_with_little_memory(payload: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="more than 100000 values"):
            decode_message(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * SIZE


def test_a_body_full_of_small_values_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="more than 100000 values"):
        decode_content(b"[" + b",".join([b"[]"] * (SIZE // 3)) + b"]")


VALUES: list[Any] = [
    "x" * 20,
    "ü" * 300,
    "\x91\x90,[{" * 20_000,
    b"bytes",
    b"b" * 300,
    1,
    -1,
    200,
    70_000,
    2**40,
    -200,
    -70_000,
    -(2**40),
    1.5,
    None,
    True,
    [1] * 20,
    [1] * 70_000,
    {str(key): key for key in range(20)},
    msgpack.ExtType(1, b"x" * 4),
    msgpack.ExtType(1, b"x" * 300),
]


@pytest.mark.parametrize("value", VALUES)
def test_values_are_counted_whatever_is_in_them(value: Any) -> None:
    """As many as may be are not refused for their number, one more is."""
    filler: list[Any] = [None] * (VALUES_LIMIT - count(value) - 7)
    for extra in (0, 1):
        content = [value, filler + [None] * extra, "x" * VALUES_LIMIT]
        payload = msgpack.packb({"kind": "a", "content": content})
        try:
            decode_message(payload)
        except MalformedMessage as error:
            assert ("100000 values" in error.reason) == bool(extra)  # noqa: PT017
        else:
            assert not extra


def count(value: Any) -> int:
    if isinstance(value, list):
        return 1 + sum(count(each) for each in value)
    if isinstance(value, dict):
        return 1 + sum(1 + count(each) for each in value.values())
    return 1


@pytest.mark.parametrize("encoding", Encoding)
def test_text_may_hold_any_number_of_marks(encoding: Encoding) -> None:
    message = Message("report", {"text": '[{,"\\' * (SIZE // 8)})
    assert decode_message(encode_message(message, encoding)) == message


def test_the_largest_report_has_fewer() -> None:
    """1,000 apps and as many of the system's, each with its state, 2,000 instances."""
    versions = [{"name": f"app-{number}", "version": "1"} for number in range(1000)]
    usage = {"cpu": "1", "memory": "2", "disk": "3", "network": "4"}
    instance: dict[str, Any] = {
        "name": "n",
        "ip": "1",
        "status": "Running",
        "cause": "",
        "usage": usage,
    }
    instance |= {"serviceName": "s", "createTime": "t", "restarts": 3}
    states = [
        {
            "name": "n",
            "version": "1",
            "status": "Running",
            "cause": "c",
            "instances": {"i": instance},
        }
        for _ in versions
    ]
    content = {"apps": versions, "sysapps": versions, "appstats": states, "sysappstats": states}
    decode_message(msgspec.msgpack.encode({"kind": "report", "content": content}))
