"""The codec of simulated nodes, beside that of the server: two implementations of one page."""

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sim.errors import UnreadableMessage
from agent_sim.wire import MessageKind, NodeMessage, WireFormat, decode, encode
from broker import messages
from broker.errors import MalformedMessage

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
plain = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
metas = st.dictionaries(st.text(), st.text() | st.integers(-(2**63), 2**63 - 1), max_size=3)


@given(st.sampled_from(MessageKind), plain, metas, st.sampled_from(WireFormat))
def test_the_server_reads_what_a_node_writes(
    kind: MessageKind, content: Any, meta: dict[str, str | int], wire_format: WireFormat
) -> None:
    payload = encode(NodeMessage(kind, content, meta), wire_format)
    assert messages.encoding_of(payload).value == wire_format.value
    assert messages.decode_message(payload) == messages.Message(kind, content, meta)


@given(st.sampled_from(messages.NodeMessageKind), plain, metas, st.sampled_from(messages.Encoding))
def test_a_node_reads_what_the_server_writes(
    kind: messages.NodeMessageKind,
    content: Any,
    meta: dict[str, str | int],
    encoding: messages.Encoding,
) -> None:
    payload = messages.encode_message(messages.Message(kind, content, meta), encoding)
    assert decode(payload) == NodeMessage(kind, content, meta)


def test_both_know_the_same_kinds_and_formats() -> None:
    assert [kind.value for kind in MessageKind] == [kind.value for kind in messages.NodeMessageKind]
    assert [one.value for one in WireFormat] == [one.value for one in messages.Encoding]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"\xc1",
        b'{"content": 1}',
        b'{"kind": 1}',
        b'{"kind": "report", "meta": []}',
        b'{"kind": "report", "meta": {"seq": true}}',
        b'{"kind": "report", "meta": {"seq": null}}',
        b'{"kind": "report", "content": NaN}',
        b'{"kind": "report", "content": ' + b"[" * 100_000,
        msgpack.packb({"kind": "report"})[:-1],
        msgpack.packb({"kind": "report"}) + b"\x00",
        msgpack.packb({"kind": "report", "content": msgpack.ExtType(5, b"x")}),
        msgpack.packb({"kind": "report", "content": {1: 2}}),
        b"\x81\xa4kind" + b"\x91" * 100_000,
        json.dumps("report").encode(),
    ],
    ids=str,
)
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        decode(payload)


@pytest.mark.parametrize("wire_format", WireFormat)
@pytest.mark.parametrize("content", [2**64, float("nan")])
def test_values_without_a_json_form_are_not_written(content: Any, wire_format: WireFormat) -> None:
    payload = b""
    try:
        payload = encode(NodeMessage("report", content), wire_format)
    except (ValueError, OverflowError):
        return
    with pytest.raises(MalformedMessage):
        messages.decode_message(payload)
