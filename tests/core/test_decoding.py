import tracemalloc
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from cloud.core.app import AppSpec
from cloud.core.batch import BatchSpec
from cloud.core.config import ConfigSpec
from cloud.core.decoding import DEPTH_LIMIT, check_depth, convert, decode_json
from cloud.core.node import NodeSpec
from cloud.core.secret import SecretSpec
from cloud.errors import Invalid
from tests.core.refusals import field_refused, is_taken
from tests.core.strategies import nested, plain_data


class Leaf(msgspec.Struct, forbid_unknown_fields=True):
    word: str
    number: Annotated[int, Meta(ge=0)] = 0


class Tree(msgspec.Struct, forbid_unknown_fields=True):
    leaf: Leaf
    branch: "Tree | None" = None
    branches: list["Tree"] = []
    by_name: dict[str, Leaf] = {}
    words: dict[str, str] = {}


class Open(msgspec.Struct):
    """Knows one field and ignores all others."""

    known: str = ""


KINDS = (NodeSpec, AppSpec, ConfigSpec, SecretSpec, BatchSpec)

FAULTS: list[tuple[Any, str]] = [
    ({"word": "x", "extra": 1}, "extra"),
    ({"word": 1}, "word"),
    ({"word": None}, "word"),
    ({}, "word"),
    ({"word": "x", "number": "1"}, "number"),
    ({"word": "x", "number": -1}, "number"),
    ({"word": "x", "number": 1.5}, "number"),
    ([], ""),
    (None, ""),
]

steps = st.lists(st.sampled_from(["branch", "branches"]), max_size=4)


@given(steps, st.sampled_from(FAULTS))
def test_the_path_of_a_wrong_field_is_named_at_any_depth(
    way: list[str], fault: tuple[Any, str]
) -> None:
    leaf, below = fault
    content: dict[str, Any] = {"leaf": leaf}
    path = f"leaf.{below}".strip(".")
    for step in way:
        good = {"leaf": {"word": "x"}}
        if step == "branch":
            content, path = {**good, "branch": content}, f"branch.{path}"
        else:
            content, path = {**good, "branches": [good, content]}, f"branches[1].{path}"
    assert field_refused(convert, content, Tree) == path
    assert field_refused(decode_json, msgspec.json.encode(content), Tree) == path
    with pytest.raises(Invalid) as caught:
        convert(content, Tree, under="content")
    assert caught.value.field == f"content.{path}"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"leaf": {"word": "x"}, "words": {"a` - at `$.b`": None}}, "words"),
        ({"leaf": {"word": "x"}, "by_name": {"a": {"word": 1}}}, "by_name.word"),
        ({"leaf": {"word": "x"}, "by_name": {"a": {}}}, "by_name.word"),
    ],
)
def test_a_wrong_value_in_a_map_is_named_by_the_map(content: Any, field: str) -> None:
    assert field_refused(convert, content, Tree) == field
    assert field_refused(decode_json, msgspec.json.encode(content), Tree) == field


def test_a_wrong_value_of_a_map_of_words_is_named_with_its_key() -> None:
    words = {"a": "b", "nvidia.com/gpu": 1, "c": 2}
    assert field_refused(convert, {"leaf": {"word": "x"}, "words": words}, Tree) == (
        "words.nvidia.com/gpu"
    )
    content = {"leaf": {"word": "x"}, "branches": [{"leaf": {"word": "x"}, "words": {"k": None}}]}
    assert field_refused(convert, content, Tree) == "branches[0].words.k"


@pytest.mark.parametrize("key", [1, None, 1.5, ("a",), b"a"])
def test_keys_that_are_not_text_are_named_by_their_map(key: Any) -> None:
    assert field_refused(convert, {key: 1}, Tree) == ""
    content = {"leaf": {"word": "x"}, "words": {key: "v"}}
    assert field_refused(convert, content, Tree) == "words"


def test_a_list_is_named_by_what_it_is_under() -> None:
    with pytest.raises(Invalid) as caught:
        convert([{"word": "x"}, {}], list[Leaf], under="content")
    assert caught.value.field == "content[1].word"


def test_types_are_named_in_plain_words() -> None:
    with pytest.raises(Invalid) as caught:
        convert({"leaf": {"word": 1}}, Tree)
    assert caught.value.reason == "expected a string, got an integer"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"services":[{"name":"a","image":1}]}', "services[0].image"),
        (b'{"services":[{"name":"a"},{"image":"x"}]}', "services[1].name"),
        (b'{"services":[{"name":"a","volumeMount":[]}]}', "services[0].volumeMount"),
        (b'{"services":[{"name":"a","volume_mounts":[]}]}', "services[0].volume_mounts"),
        (b'{"services":[{"name":"a","resources":{"limits":{"cpu":1}}}]}',
         "services[0].resources.limits"),
        (b'{"services":[{"name":"a","replica":-1}]}', "services[0].replica"),
        (b'{"services":null}', "services"),
        (b'{"type":"helm"}', "type"),
        (b'{"volumes":[{"name":"v","config":{"version":"1"}}]}', "volumes[0].config.name"),
        (b'{"volumes":[{"name":"v","config":null}]}', "volumes[0].config"),
    ],
)  # fmt: skip
def test_an_apps_field_is_named_as_the_contract_names_it(body: bytes, field: str) -> None:
    assert field_refused(decode_json, body, AppSpec) == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"data":[{"key":"a","value":{"type":"blob"}}]}', "data[0].value.type"),
        (b'{"data":[{"key":"a","value":{"type":"object"}}]}', "data[0].value.source"),
        (b'{"data":[{"key":"a","value":{"type":"kv"}}]}', "data[0].value.value"),
        (b'{"data":[{"key":"a","value":{"type":"kv","value":1}}]}', "data[0].value.value"),
        (b'{"data":[{"key":"a"}]}', "data[0].value"),
        (b'{"data":{"a":"b"}}', "data"),
    ],
)
def test_a_configs_field_is_named(body: bytes, field: str) -> None:
    assert field_refused(decode_json, body, ConfigSpec) == field


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"}", b"[]", b"1", b"null", b"true", b'"x"', b"{}x", b"{'a':1}", b"{,}",
        b"NaN", b'{"description":NaN}', b'{"description":Infinity}', b"\xff", b'"\xff"',
        b'{"description":"\xff"}', b'{"\xff":1}', b'{"labels":{"\xff":"x"}}',
        b'{"description":"\\ud800"}', b'{"description":"\xed\xa0\x80"}', b'{"description":"\n"}',
        b'{"a\0":1}', b'{"a\\u0000":1}', b"\xef\xbb\xbf{}", b"\0",
        b'{"description":' + b"1" * 5000 + b"}",
        b'{"x":' + b"1" * 5000 + b"}", b"-" * 1000, b'{"x":1e999}', b'{"description":1e999}',
        b"[" * 100_000, b'{"description":' * 20_000, b'{"labels":' * 20_000,
        b'{"x":' + b"[" * 100_000, b'{"description":[' + b"[" * 100_000,
        b'{"' + b"x" * 100_000 + b'":1}', b'{"' + b"`" * 1000 + b'":1}',
        b'{"a` - at `$.b":1}', b'{"labels":{"' + b"x" * 100_000 + b'":1}}',
    ],
)  # fmt: skip
def test_hostile_bodies_are_refused_in_few_words(kind: type[Any], body: bytes) -> None:
    field_refused(decode_json, body, kind)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for kind in KINDS:
        is_taken(decode_json, body, kind)


@given(st.dictionaries(st.sampled_from(["labels", "services", "data", "description"]), plain_data))
def test_any_plain_data_is_read_or_refused(content: Any) -> None:
    for kind in (*KINDS, Tree):
        is_taken(convert, content, kind)


@pytest.mark.parametrize("content", ["\ud800", {"\ud800": "x"}, {"words": {"\ud800": "x"}}])
def test_text_that_is_not_unicode_is_refused(content: Any) -> None:
    assert not is_taken(convert, content, Tree)


def test_nesting_without_end_is_refused_also_where_fields_are_ignored() -> None:
    body = b'{"ignored":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert field_refused(decode_json, body, Open) == ""
    deep: dict[str, Any] = {"leaf": {"word": "x"}}
    for _ in range(10_000):
        deep = {"leaf": {"word": "x"}, "branch": deep}
    assert not is_taken(convert, deep, Tree)


def test_long_values_are_not_repeated_in_the_answer() -> None:
    assert field_refused(decode_json, b'{"type":"' + b"x" * 100_000 + b'"}', AppSpec) == "type"


def test_a_member_that_is_there_twice_is_refused_by_its_path() -> None:
    with pytest.raises(Invalid) as refused:
        decode_json(b'{"labels":{"a":"1","a":"2"}}', NodeSpec)
    assert refused.value.field == "labels.a"


@given(st.integers(2, 2 * DEPTH_LIMIT))
def test_content_is_as_deep_as_its_deepest_list(levels: int) -> None:
    for content in (nested(levels), {"a": 1, "b": nested(levels - 1), "c": []}):
        assert is_taken(check_depth, "content", content) is (levels <= DEPTH_LIMIT)


def test_the_depth_of_content_is_found_without_recursion() -> None:
    assert field_refused(check_depth, "content", nested(200_000)) == "content"


def test_to_name_a_repeated_member_takes_no_more_than_a_few_times_the_body() -> None:
    deep = '{"' + '":{"'.join(["k" * 80] * 350) + '":{'
    many = "0," * 17_000
    body = f'{{"x":{deep}"l":[{many}0],"r":{{"q":{{"a":1,"a":2}}}}{"}" * 351}}}'.encode()
    tracemalloc.start()
    with pytest.raises(Invalid) as caught:
        decode_json(body, dict[str, Any])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
    assert caught.value.field.endswith("k.r.q.a")
    assert len(caught.value.field) <= 1_003
