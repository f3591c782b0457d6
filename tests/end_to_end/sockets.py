"""Sockets to a running server, and what comes back on them."""

import contextlib
import socket
import ssl

from tests.deadlines import UNIT
from tests.end_to_end.conftest import Server

HEAD = b"GET /crl.pem HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /v1/active HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def address(url: str) -> tuple[str, int]:
    host, _, port = url.partition("//")[2].rpartition(":")
    return host, int(port)


def plain(server: Server) -> socket.socket:
    """A socket to the API."""
    return socket.create_connection(address(server.api), timeout=10 * UNIT)


def secure(server: Server, source: str = "127.0.0.1") -> ssl.SSLSocket:
    """A connection to the activation endpoint, after its handshake."""
    tcp = socket.create_connection(
        address(server.activation), timeout=10 * UNIT, source_address=(source, 0)
    )
    try:
        return server.context().wrap_socket(tcp, server_hostname="127.0.0.1")
    except BaseException:
        tcp.close()
        raise


def answer_of(server: Server, request: bytes) -> bytes:
    """All that the API sends on a connection on which *request* came, until it ends it."""
    with plain(server) as connection:
        connection.sendall(request)
        return everything(connection)


def everything(connection: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            received += data
    return bytes(received)
