import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.decoding import DEPTH_LIMIT
from cloud.errors import Invalid
from cloud.http.yaml_text import decode_yaml, encode_yaml

# Text that both YAML and JSON can hold: no lone surrogates, no characters that YAML cannot print.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["no", "1e3", "0o17", "1_000", "12:30", "2026-01-02", "=", "<<", "~", "a: b", "x\n y\n\n", ".5"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_was_written_is_read_as_it_was(value: Any) -> None:
    assert decode_yaml(encode_yaml(value)) == value


@given(st.dictionaries(TEXTS, TEXTS, max_size=4))
def test_others_read_text_as_text_too(value: dict[str, str]) -> None:
    assert yaml.safe_load(encode_yaml(value)) == value


@given(VALUES)
def test_json_is_yaml(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=True).replace("\\ud", "\\\\ud")
    assert decode_yaml(text.encode()) == json.loads(text)


def test_plain_words_have_their_meaning_of_version_1_2() -> None:
    text = b"{a: no, b: true, c: 0x1f, d: 1.5e3, e: ~, f: 2026-01-02, 8080: on, g: 'true', h: 007}"
    assert decode_yaml(text) == {
        "a": "no",
        "b": True,
        "c": 31,
        "d": 1500.0,
        "e": None,
        "f": "2026-01-02",
        "8080": "on",
        "g": "true",
        "h": 7,
    }


def test_order_is_kept_and_text_of_several_lines_is_a_block() -> None:
    written = encode_yaml({"b": 1, "a": "first\nsecond\n"})
    assert written == b"b: 1\na: |\n  first\n  second\n"


BOMB = "a: &a [x]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(3))
DEEP = "[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (BOMB, "line 1, column 4: anchors"),
        ("a: *b\n", "line 1, column 4: "),
        ("x: 1\na: !!python/object/apply:os.system [ls]\n", "line 2, column 4: tags"),
        ("a: !x 1\n", "line 1, column 4: tags"),
        ("!!str a: 1\n", "line 1, column 1: "),
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: this key"),
        ("a: 1\n b: 2\n", "line 2, column 3: "),
        ("a: {\n", "line 2, column 1: "),
        ("a: 1\n---\nb: 1\n", "line 2, column 1: one document"),
        ("<<: {a: 1}\n", "line 1, column 1: merge"),
        ("? [a]\n: 1\n", "line 1, column 3: a key"),
        ("a: .inf\n", "line 1, column 4: "),
        ("a: 1e999\n", "line 1, column 4: "),
        ("a: " + "1" * 5000 + "\n", "line 1, column 4: "),
        (DEEP, f"line 1, column {DEPTH_LIMIT + 1}: nested"),
        ("", "empty"),
        ("a: \x01\n", "the body is not YAML"),
    ],
)
def test_what_is_more_than_json_or_wrong_is_refused_by_its_place(text: str, place: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode_yaml(text.encode())
    assert place in str(refused.value)


def test_what_is_not_utf_8_is_refused() -> None:
    with pytest.raises(Invalid):
        decode_yaml(b"a: \xff")


@pytest.mark.parametrize("text", ["0x1" + "0" * 16, "0x" + "f" * 5000, "18446744073709551616"])
def test_integers_that_json_would_refuse_are_refused(text: str) -> None:
    with pytest.raises(Invalid, match="the number is too large"):
        decode_yaml(f"a: {text}".encode())


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_many_directives_are_refused_before_they_are_compared(line_break: str) -> None:
    tags = "".join(f"%TAG !{n}! tag:x{line_break}" for n in range(200_000))
    began = time.process_time()
    for before in ("", "a: 1\n...\n"):
        with pytest.raises(Invalid, match="more than 16 lines of the body begin with %"):
            decode_yaml(f"{before}{tags}--- {{}}\n".encode())
    assert time.process_time() - began < 2


def test_a_few_directives_are_read() -> None:
    assert decode_yaml(b"%YAML 1.1\n--- {a: '%'}\n") == {"a": "%"}
