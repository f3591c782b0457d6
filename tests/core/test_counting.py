"""Values of a body are counted with little memory, whatever is in it."""

import tracemalloc

import pytest

from cloud.core.decoding import VALUES_LIMIT, decode_json
from cloud.errors import Invalid, TooManyValues

SIZE = 8 * 2**20
MEMORY = 64 * 2**20


def tile(piece: bytes) -> bytes:
    return piece * (SIZE // len(piece))


@pytest.mark.parametrize("body", [tile(b'[",'), tile(b',"'), b'"' + tile(b'",')])
def test_unbalanced_quotes_take_little_memory(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TooManyValues):
            decode_json(body, dict[str, str])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY


@pytest.mark.parametrize("piece", [b",", b'\\",', b"\\\\,", b'\\\\\\",[{'])
def test_what_is_in_strings_is_not_counted(piece: bytes) -> None:
    text = piece * (VALUES_LIMIT + 1)
    assert len(decode_json(b'{"a":"' + text + b'","b":"\\\\"}', dict[str, str])["a"]) > VALUES_LIMIT


def test_a_string_without_end_is_not_json() -> None:
    with pytest.raises(Invalid, match="not JSON"):
        decode_json(b'{"a":"' + tile(b","), dict[str, str])
