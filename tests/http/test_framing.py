"""Where requests begin and end, whichever way the bytes come in."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.errors import HeadTooLarge, Invalid
from cloud.http.framing import Framing

LIMIT = 300


def chunked(body: bytes, size: int, trailer: bytes) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%X\r\n%s\r\n" % (len(each), each) for each in pieces) + b"0\r\n" + trailer


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """A head, its headers as far as they frame the body, and what follows it."""
    body = draw(st.binary(max_size=200))
    if draw(st.booleans()):
        trailer = draw(st.sampled_from([b"\r\n", b"X: 1\r\n\r\n"]))
        head = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head, [(b"transfer-encoding", b"chunked")], chunked(body, 50, trailer)
    head = b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head, [(b"content-length", b"%d" % len(body))], body


def pieces_of(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for begin, end in itertools.pairwise(places):
        yield data[begin:end]


@given(st.lists(requests(), max_size=5), st.lists(st.integers(0, 10_000), max_size=30))
def test_what_is_taken_is_one_request_after_the_other_however_it_is_cut(
    sent: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]], cuts: list[int]
) -> None:
    framing = Framing(LIMIT)
    taken: list[bytes] = []
    for data in pieces_of(b"".join(head + rest for head, _, rest in sent), cuts):
        framing.feed(data)
        while True:
            begins = framing.is_between
            piece = framing.take()
            if piece is None:
                break
            if not begins:
                taken[-1] += piece
                continue
            _, headers, _ = sent[len(taken)]
            taken.append(piece)
            framing.begin_body(headers)
    assert taken == [head + rest for head, _, rest in sent]
    assert framing.is_between
    assert framing.held == 0


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=20))
def test_no_more_than_a_head_is_held_whatever_comes(data: bytes, cuts: list[int]) -> None:
    framing = Framing(LIMIT)
    for piece in pieces_of(b"GET / HTTP/1.1\r\n" + data, cuts):
        framing.feed(piece)
        try:
            while framing.take() is not None:
                framing.begin_body([])
        except (Invalid, HeadTooLarge):
            return
        assert framing.held <= LIMIT


def test_a_head_may_have_as_many_bytes_as_the_limit_and_no_more() -> None:
    for extra in (0, 1):
        framing = Framing(LIMIT)
        head = b"GET / HTTP/1.1\r\nX: \r\n\r\n"
        head = head.replace(b": ", b": " + b"a" * (LIMIT - len(head) + extra))
        framing.feed(head)
        if extra:
            with pytest.raises(HeadTooLarge):
                framing.take()
        else:
            assert framing.take() == head


def test_chunks_of_a_usual_size_are_taken_without_end_and_tiny_ones_are_not() -> None:
    for size, chunks in ((2_000, 1_000), (1, 1_000)):
        framing = Framing(LIMIT)
        framing.begin_body([(b"transfer-encoding", b"chunked")])
        framing.feed(chunked(b"x" * size * chunks, size, b"\r\n"))
        if size == 1:
            with pytest.raises(HeadTooLarge):
                _take_all(framing)
        else:
            _take_all(framing)
            assert framing.is_between


def _take_all(framing: Framing) -> None:
    while not framing.is_between and framing.take() is not None:
        pass
