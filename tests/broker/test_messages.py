import json
import math
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import MalformedMessage
from broker.messages import (
    MAX_DEPTH,
    Encoding,
    Message,
    NodeMessageKind,
    decode_message,
    encode_message,
    encoding_of,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "broker"

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
contents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20
)
metas = st.dictionaries(texts, texts | st.integers(-(2**63), 2**63 - 1))
messages = st.builds(Message, texts, contents, metas)
encodings = st.sampled_from(Encoding)

APP = {"name": "mosquitto", "version": "12"}
EXAMPLES = {
    "report": Message(
        NodeMessageKind.REPORT,
        {
            "time": "2026-11-23T12:00:00Z",
            "node": {"hostname": "gate-7", "arch": "arm64"},
            "nodestats": {"usage": {"cpu": "0.25", "memory": "512Mi"}, "capacity": {"cpu": "4"}},
            "apps": [APP],
            "appstats": [{**APP, "status": "Running", "cause": ""}],
        },
        {"seq": 7, "run": "5f0c"},
    ),
    "stats": Message(
        NodeMessageKind.STATS, {"nodestats": {"usage": {"cpu": "0.31", "memory": "498Mi"}}}
    ),
    "desire": Message(
        NodeMessageKind.DESIRE,
        {"infos": [{"kind": "application", **APP}]},
        {"x-baetyl-request-id": "0d6c", "sync": "true"},
    ),
    "delta": Message(
        NodeMessageKind.REPORT,
        {"apps": [APP]},
        {"seq": 7, "run": "5f0c", "time": "2026-11-23T12:00:00Z"},
    ),
    "desire-response": Message(
        NodeMessageKind.DESIRE,
        {"values": [{"kind": "application", **APP, "value": {"services": [], "replica": 1}}]},
        {"x-baetyl-request-id": "0d6c", "sync": "true", "time": "2026-11-23T12:00:00Z"},
    ),
    "command": Message(
        NodeMessageKind.COMMAND,
        {
            "id": "7f3a",
            "command": "logs",
            "seconds": 30,
            "deadline": "2026-11-23T12:00:30Z",
            "app": "mosquitto",
            "lines": 100,
        },
        {"time": "2026-11-23T12:00:00Z"},
    ),
    "command-response": Message(
        NodeMessageKind.COMMAND,
        {"id": "7f3a", "status": "done", "output": "mosquitto version 2.0 running\n", "cut": True},
    ),
    "error": Message(
        NodeMessageKind.ERROR,
        "The request parameter is invalid. (content.apps: expected an array)",
        {"code": "RequestParamInvalid", "seq": 7},
    ),
    "template": Message(
        NodeMessageKind.DESIRE,
        {"values": [{"value": {"data": {"a.conf": "{{ .Host }} {{{ } }} {"}}}]},
        {"x-baetyl-request-id": "{{0d6c", "sync": "true"},
    ),
    "values": Message(
        NodeMessageKind.REPORT,
        [None, True, False, 0, -1, 127, 128, 2**63, -(2**63), 1.5, -0.25, "", "ä€😀", [], {}],
    ),
}


@given(messages, encodings)
def test_decoding_is_the_inverse_of_encoding(message: Message, encoding: Encoding) -> None:
    payload = encode_message(message, encoding)
    assert encoding_of(payload) is encoding
    assert decode_message(payload) == message


@given(messages)
def test_another_implementation_reads_and_writes_the_same(message: Message) -> None:
    document = {"kind": message.kind, "meta": message.meta, "content": message.content}
    assert msgpack.unpackb(encode_message(message, Encoding.MSGPACK)) == document
    assert json.loads(encode_message(message, Encoding.JSON)) == document
    assert decode_message(msgpack.packb(document)) == message
    assert decode_message(json.dumps(document).encode()) == message


@given(messages)
def test_a_message_can_be_passed_on_in_the_other_encoding(message: Message) -> None:
    received = decode_message(encode_message(message, Encoding.MSGPACK))
    assert decode_message(encode_message(received, Encoding.JSON)) == message


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("encoding", Encoding)
def test_the_bytes_on_the_wire_are_the_golden_ones(name: str, encoding: Encoding) -> None:
    golden = (GOLDEN / f"{name}.{encoding.value}").read_bytes()
    assert encode_message(EXAMPLES[name], encoding) == golden
    assert decode_message(golden) == EXAMPLES[name]


def test_every_golden_file_is_used() -> None:
    expected = {f"{name}.{encoding.value}" for name in EXAMPLES for encoding in Encoding}
    assert {file.name for file in GOLDEN.iterdir()} == expected


@given(st.binary())
def test_arbitrary_bytes_are_a_message_or_malformed(payload: bytes) -> None:
    for start in (b"", b"{", b"\x82\xa4kind\xa1a\xa7content", b'{"kind":"a","content":'):
        try:
            message = decode_message(start + payload)
        except MalformedMessage:
            continue
        for encoding in Encoding:
            assert decode_message(encode_message(message, encoding)) == message


@given(messages, encodings, st.data())
def test_a_damaged_message_is_a_message_or_malformed(
    message: Message, encoding: Encoding, data: st.DataObject
) -> None:
    payload = bytearray(encode_message(message, encoding))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        message = decode_message(bytes(payload))
    except MalformedMessage:
        return
    assert decode_message(encode_message(message, encoding)) == message


@given(st.text('{}\\"\n.a '))
def test_json_holds_nothing_that_starts_a_template_action(text: str) -> None:
    payload = encode_message(Message("{{", {text: [text, {text: {}}]}, {text: text}), Encoding.JSON)
    assert b"{{" not in payload
    assert decode_message(payload).content == {text: [text, {text: {}}]}


def packed(content: Any) -> bytes:
    return bytes(msgpack.packb({"kind": "report", "content": content}))


NOT_PLAIN: dict[str, Any] = {
    "binary": b"x",
    "nan": math.nan,
    "infinity": -math.inf,
    "time": msgpack.Timestamp(1),
    "extension": msgpack.ExtType(5, b"x"),
    "integer key": {1: 2},
    "binary key": {b"k": 1},
    "null key": {None: 1},
    "list key": {(1, 2): 3},
}


@pytest.mark.parametrize("value", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_values_without_a_json_form_are_malformed(value: Any) -> None:
    for content in (value, [value], {"a": [{"b": value}]}):
        with pytest.raises(MalformedMessage):
            decode_message(packed(content))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"report"',
        "{}",
        '{"kind": 1}',
        '{"kind": null}',
        '{"kind": "a", "meta": []}',
        '{"kind": "a", "meta": {"seq": true}}',
        '{"kind": "a", "meta": {"seq": 1.5}}',
        '{"kind": "a", "meta": {"seq": null}}',
        '{"kind": "a", "meta": {"seq": 9223372036854775808}}',
        '{"kind": "a", "content": 18446744073709551616}',
        '{"kind": "a", "content": -9223372036854775809}',
        '{"kind": "a", "content": 1e999}',
        '{"kind": "a", "content": NaN}',
        '{"kind": "a", "content": "\\ud800"}',
        '{"kind": "a"} trailing',
        "\ufeff{}",
    ],
)
def test_json_that_is_no_envelope_is_malformed(text: str) -> None:
    with pytest.raises(MalformedMessage):
        decode_message(text.encode())


def test_text_that_is_not_utf_8_is_malformed() -> None:
    for payload in (b'{"kind":"\xff"}', b"\x81\xa4kind\xa1\xff", packed("")[:-1] + b"\xa1\xff"):
        with pytest.raises(MalformedMessage):
            decode_message(payload)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 5_000, 500_000])
def test_deep_nesting_is_malformed(depth: int) -> None:
    json_content = b"[" * depth + b"]" * depth
    for payload in (
        b'{"kind":"a","content":' + json_content + b"}",
        b"\x82\xa4kind\xa1a\xa7content" + b"\x91" * (depth - 1) + b"\x90",
        b"\x82\xa4kind\xa1a\xa7content" + b"\x81\xa1k" * depth + b"\xc0",
    ):
        with pytest.raises(MalformedMessage):
            decode_message(payload)


def test_nesting_up_to_the_limit_is_read() -> None:
    json_content = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    for payload in (
        b'{"kind":"a","content":' + json_content + b"}",
        b"\x82\xa4kind\xa1a\xa7content" + b"\x91" * (MAX_DEPTH - 1) + b"\x90",
    ):
        content = decode_message(payload).content
        for _ in range(MAX_DEPTH - 1):
            (content,) = content
        assert content == []


def test_the_reason_names_the_field() -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode_message(b'{"kind": "report", "meta": {"seq": []}}')
    assert "meta" in caught.value.reason


def test_unknown_keys_are_ignored() -> None:
    assert decode_message(b'{"kind":"report","more":[1]}') == Message("report")


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("depth", [0, 1, 7, 8, 9, 33, MAX_DEPTH])
def test_content_is_no_deeper_than_the_limit(depth: int, encoding: Encoding) -> None:
    content: Any = "leaf"
    for level in range(depth):
        content = [content] if level % 2 else {"in": content}
    decoded = decode_message(encode_message(Message("report", content), encoding))
    assert decoded.content == content
    assert decoded.depth >= depth
