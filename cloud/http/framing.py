"""Framing of requests in a byte stream, within the limits.

llhttp, which reads the requests, has no bound for heads, chunk extensions and trailers, and parses
whatever it is given. So it is given one request at a time: its whole head, then its body.
"""

import re
from collections.abc import Sequence
from typing import Any

from cloud.errors import HeadTooLarge, Invalid

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_FIRST = re.compile(_TOKEN)
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb"+) ([!-~]+) (HTTP/\d\.\d)\r?\n")
_SIMPLE_REQUEST = re.compile(rb"[A-Za-z]+ [!-~]+ ?\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[^\r\n]*)?\r\n")
_EMPTY_LINES: Any = re.compile(rb"(?:\r\n){0,2}")  # before a request: RFC 9112, 2.2
_HOST = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")
# Requests to upgrade get this protocol (RFC 9110, 7.8); llhttp would stop reading.
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)

Headers = Sequence[tuple[bytes, bytes]]


class Framing:
    """Cuts what comes in into pieces for the parser; owns what it may not have yet.

    After `take` gave a head `begin_body` sets how it goes on; `is_between` is whether the next
    piece is a head.
    """

    def __init__(self, head_limit: int) -> None:
        self._limit = head_limit
        self._buffer = b""
        self._at = 0  # what is before it was taken
        self._searched = 0  # where the end of the head may be, not before
        self._left = 0  # bytes of the body, or of the chunk and its line end
        self._is_chunked = False
        self._is_last = False  # whether the chunk that ends the body was there
        self._overhead = 0  # bytes of chunk sizes and trailers of this body
        self.is_between = True

    @property
    def held(self) -> int:
        """Bytes that came and were not taken."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Add what came."""
        self._buffer = self._buffer[self._at :] + data if self.held else data
        self._searched = max(self._searched - self._at, 0)
        self._at = 0

    def take(self) -> bytes | None:
        """The next piece, None if more has to come; HeadTooLarge or Invalid for a bad request."""
        if self.is_between:
            return self._head()
        if self._left:
            return self._cut(min(self._left, self.held))
        return self._line() if self._is_chunked else None

    def begin_body(self, headers: Headers) -> None:
        """Go on with the body that *headers*, which `fault_of` has nothing against, announce."""
        found = dict(headers)
        self._is_chunked = b"transfer-encoding" in found
        self._left = 0 if self._is_chunked else int(found.get(b"content-length", b"0"))
        self._is_last, self._overhead = False, 0
        self.is_between = not (self._is_chunked or self._left)

    def _cut(self, count: int) -> bytes | None:
        if not count:
            return None
        piece = self._buffer[self._at : self._at + count]
        self._at += count
        self._searched = self._at
        if not self.is_between:
            self._left -= count
            self.is_between = not (self._left or self._is_chunked)
        return piece

    def _head(self) -> bytes | None:
        if self._buffer.startswith(b"\r\n", self._at):
            self._at = _EMPTY_LINES.match(self._buffer, self._at).end()
        self._searched = max(self._searched, self._at)
        if not self.held or (self.held == 1 and self._buffer.endswith(b"\r")):
            return None
        _check_line(self._buffer, self._at)
        end = self._buffer.find(b"\r\n\r\n", self._searched)
        size = self.held if end < 0 else end + 4 - self._at
        if size > self._limit:
            raise HeadTooLarge(self._limit)
        if end < 0:
            self._searched = max(len(self._buffer) - 3, self._at)
            return None
        head = self._cut(size)
        if head is not None and b"\r\nupgrade" in head.lower():
            return _UPGRADE.sub(b"\r\nX-Upgrade:", head)
        return head

    def _line(self) -> bytes | None:
        """The next chunk size, or line of the trailer."""
        end = self._buffer.find(b"\n", self._at)
        size = self.held if end < 0 else end + 1 - self._at
        if self._overhead + size > self._limit:
            raise HeadTooLarge(self._limit)
        if end < 0:
            return None
        line = self._buffer[self._at : end + 1]
        self._at = self._searched = end + 1
        self._overhead += size
        if self._is_last:
            self.is_between = line == b"\r\n"
            return line
        found = _CHUNK_SIZE.fullmatch(line)
        if found is None:
            raise Invalid("Transfer-Encoding", "the size of a chunk cannot be read")
        self._left = int(found[1], 16)
        self._is_last = not self._left
        if self._left:
            # Each line costs as much as many bytes: those of common chunk sizes are free.
            self._overhead -= min(self._left // 16, size)
            self._left += 2
        return line


def _check_line(buffer: bytes, at: int) -> None:
    """Invalid if it can be seen that the request line at *at* is none of HTTP/1."""
    found = _REQUEST_LINE.match(buffer, at)
    if found is not None:
        if found[3] not in {b"HTTP/1.1", b"HTTP/1.0"}:
            raise Invalid("request line", f"{found[3].decode()} is not spoken here; HTTP/1.1 is")
        if not found[0].endswith(b"\r\n"):
            raise Invalid("request line", "does not end with CR LF")
        return
    if not _FIRST.match(buffer, at):
        raise Invalid("request line", "does not begin with a method")
    if buffer.find(b"\n", at) < 0:
        return
    if _SIMPLE_REQUEST.match(buffer, at):
        raise Invalid("request line", "names no version: HTTP/0.9 is not spoken here; HTTP/1.1 is")
    raise Invalid("request line", "is not METHOD TARGET HTTP/1.1")


def fault_of(version: str, method: bytes, target: bytes, headers: Headers) -> Invalid | None:
    """The error in a request's head, if any; names in *headers* are lower case."""
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    kinds = {b"host": hosts, b"content-length": lengths, b"transfer-encoding": codings}
    for name, value in headers:
        if name in kinds:
            kinds[name].append(value)
    if not hosts and version == "1.1":
        return Invalid("Host", "missing")
    if len(hosts) > 1:
        return Invalid("Host", "is there more than once")
    if hosts and not _HOST.fullmatch(hosts[0]):
        return Invalid("Host", "is not a host name with or without port")
    return _fault_of_target(method, target) or _fault_of_body(version, lengths, codings)


def _fault_of_target(method: bytes, target: bytes) -> Invalid | None:
    if method == b"CONNECT":
        return Invalid("request line", "CONNECT is for proxies")
    is_known = target.startswith((b"/", b"http://", b"https://"))
    if is_known or (target == b"*" and method == b"OPTIONS"):
        return None
    return Invalid("request line", "the target begins with neither / nor http")


def _fault_of_body(
    version: str, lengths: Sequence[bytes], codings: Sequence[bytes]
) -> Invalid | None:
    if codings and version == "1.0":
        return Invalid("Transfer-Encoding", "is not for HTTP/1.0")
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
        return Invalid("Transfer-Encoding", "is not chunked, once and alone")
    if codings and lengths:
        return Invalid("Transfer-Encoding", "is there together with Content-Length")
    if len(lengths) > 1 or (lengths and not lengths[0].isdigit()):
        return Invalid("Content-Length", "is not one whole number")
    return None
