"""Requests over HTTP that are not in order, or unusual: which are answered, and how they end."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import Server, running_server
from tests.end_to_end.sockets import CHUNKED, HEAD, answer_of, everything, plain, secure


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    arguments = ("--head-seconds", "2", "--body-seconds", "2")
    with running_server(tmp_path_factory.mktemp("odd") / "data", *arguments) as running:
        yield running


POST = b"POST / HTTP/1.1\r\nHost: a\r\n"

ODD = {
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", b"Host: missing"),
    "two Hosts": (
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"Host: is there more than once",
    ),
    "an odd Host": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", b"Host: is not"),
    "HTTP/0.9": (b"GET /\r\n", b"HTTP/0.9 is not spoken"),
    "HTTP/0.9 by name": (b"GET / HTTP/0.9\r\n\r\n", b"HTTP/0.9 is not spoken"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/2.0 is not spoken"),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01", b"request line"),
    "line feeds alone": (b"GET / HTTP/1.1\nHost: x\n\n", b"request line"),
    "empty lines without end": (b"\r\n" * 1000, b"request line"),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"CONNECT"),
    "no path": (b"GET a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"cannot be read"),
    "a path that is not ASCII": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", b"request line"),
    "length and chunks": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding",
    ),
    "chunks and length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length",
    ),
    "two lengths": (
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"Content-Length",
    ),
    "a length with a sign": (
        POST + b"Content-Length: +1\r\n\r\na",
        b"Content-Length",
    ),
    "another coding": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding",
    ),
    "chunks in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding",
    ),
    "a space before the colon": (
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"cannot be read",
    ),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", b"cannot be read"),
    "a NUL": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00\r\n\r\n", b"cannot be read"),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_request_is_a_400_that_names_what_is_odd(kind: str, server: Server) -> None:
    request, named = ODD[kind]
    status, _, text = answer_of(server, request).partition(b"\r\n")
    assert status == b"HTTP/1.1 400 Bad Request"
    assert named in text
    assert b'"request-id"' in text
    assert text.count(b"HTTP/1.1 ") == (b"/1.1 is" in text)


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x1\r\na\r\n",
        b"-1\r\na\r\n",
        b"fffffffffffffffff\r\n",
        b"1\na\r\n",
        b"1 \r\na\r\n",
        b"\r\n",
    ],
)
def test_a_bad_chunk_ends_the_connection_and_begins_no_request(
    chunks: bytes, server: Server
) -> None:
    with secure(server) as connection:
        connection.sendall(CHUNKED + chunks + HEAD)
        found = everything(connection)
    assert found.startswith(b"HTTP/1.1 400 ")
    assert found.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("chunk", [b"1;" + b"a" * 40_000, b"1\r\na\r\n" * 20_000])
def test_chunk_sizes_without_end_are_refused(chunk: bytes, server: Server) -> None:
    with secure(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(CHUNKED + chunk)
        assert everything(connection).startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 413 "))


def test_a_trailer_is_no_header(server: Server) -> None:
    request = CHUNKED.replace(b"/v1/active", b"/v1/nodes")
    request += b"0\r\nAuthorization: Bearer " + server.token.encode() + b"\r\n\r\n"
    found = answer_of(server, request + HEAD.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    assert found.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://example.org/health HTTP/1.1\r\nHost: a",
        b"GET /health HTTP/1.0",
        b"\r\nGET /health HTTP/1.1\r\nHost: a",
        b"GET /readyz?verbose=http://b HTTP/1.1\r\nhost: a:9004",
        b"GET /health HTTP/1.1\r\nHost: [::1]:9004\r\nConnection: Upgrade\r\nUpgrade: h2c",
    ],
)
def test_unusual_requests_that_are_right_are_answered(head: bytes, server: Server) -> None:
    ending = b"" if b"1.0" in head or b"Upgrade" in head else b"\r\nConnection: close"
    with plain(server) as connection:
        connection.sendall(head + ending + b"\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_request_that_wants_another_protocol_keeps_its_body(server: Server) -> None:
    upgrade = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAA"}
    with server.client() as api:
        answer = api.post("/v1/configs", json={"name": "kept", "data": []}, headers=upgrade)
        assert answer.status_code == 200, answer.text


def test_a_request_may_have_a_hundred_headers(server: Server) -> None:
    for count, status in ((96, b"200"), (101, b"431")):
        head = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + b"X: 1\r\n" * count
        found = answer_of(server, head + b"\r\n")
        assert found.startswith(b"HTTP/1.1 " + status)


def test_an_answered_request_whose_body_goes_on_ends(server: Server) -> None:
    """The server does not wait for the rest of it, however fast it arrives."""
    with plain(server) as connection:
        connection.sendall(
            b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")
        with pytest.raises(OSError, match=r"reset|pipe|aborted"):
            send_for_ever(connection)


def send_for_ever(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"a" * 4096)
        time.sleep(0.001)  # or both sides take a core until the end
