"""uvicorn's HTTP/1.1 with bounds.

The protocol class gives uvicorn's parser one request at a time, cut out by `cloud.http.framing`,
looks at the clock of each stage a connection goes through, and writes answers no faster than they
are read (docs/decisions/0026). The scope of each request has the certificate of the peer.
"""

import asyncio
import enum
import logging
from collections.abc import Mapping
from typing import Any, Protocol, cast

import httptools
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from cloud.errors import CloudError, HeadTooLarge, Invalid, TooSlow, Unavailable
from cloud.http.connection_limits import (
    PIECE_BYTES,
    READ_BYTES,
    STALLED_BYTES,
    ConnectionLimits,
)
from cloud.http.errors import error_response
from cloud.http.framing import Framing, fault_of
from cloud.http.logs import shown
from cloud.http.peer import scope_of_peer

logger = logging.getLogger(__name__)

_FLOOD_SECONDS = 2
"""Time for a client to read the response that ends its connection, while it still sends."""


class Stage(enum.Enum):
    """The stage of a connection."""

    IDLE = enum.auto()
    """Between an answer and the next request."""
    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()
    """The request is there, and not answered yet."""
    END = enum.auto()
    """Nothing is read any more."""


class ConnectionWatch(Protocol):
    """Notified by a protocol of the state of its connection."""

    limits: ConnectionLimits

    def opened(self, protocol: "BoundedProtocol") -> None:
        """It is there: over TLS, after the handshake."""

    def closed(self, protocol: "BoundedProtocol") -> None:
        """It is gone."""

    def held(self, protocol: "BoundedProtocol", count: int) -> bool:
        """It holds *count* bytes in all; False, and they are not counted, if that is too much."""
        ...

    def refused(self, bound: str) -> None:
        """It went beyond *bound*."""

    def new_id(self) -> str:
        """An id for a request that is refused before it is one."""
        ...


class _Unwatched:
    """For a connection that is not counted."""

    def __init__(self) -> None:
        self.limits = ConnectionLimits()

    def opened(self, protocol: "BoundedProtocol") -> None:
        """Do nothing."""

    def closed(self, protocol: "BoundedProtocol") -> None:
        """Do nothing."""

    def held(self, protocol: "BoundedProtocol", count: int) -> bool:
        """As much as it likes."""
        return True

    def refused(self, bound: str) -> None:
        """Do nothing."""

    def new_id(self) -> str:
        """No id."""
        return ""


class _Flow(FlowControl):
    """uvicorn's, which an application that waits for its caller to go cannot make read on."""

    is_held = False

    def resume_reading(self) -> None:
        """Read on, unless a request waits that must not be read yet."""
        if not self.is_held:
            super().resume_reading()


class _JoinedWrites:
    """The transport for an answer: what is held back is written with what follows it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._held: bytes | None = None

    def hold(self) -> None:
        """Hold back what is written next, until more is written or `flush` is called."""
        self._held = b""

    def write(self, data: bytes) -> None:
        """Write *data*, or hold it back."""
        if self._held is None:
            self._transport.write(data)
        elif self._held:
            data, self._held = self._held + data, None
            self._transport.write(data)
        else:
            self._held = data

    def flush(self) -> None:
        """Write what is held back."""
        held, self._held = self._held, None
        if held:
            self._transport.write(held)

    def close(self) -> None:
        """Close the connection once all is written."""
        self.flush()
        self._transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """One connection; `check` is called now and then, and ends it when it is too slow."""

    _bounded_flow: _Flow  # as `flow`, from the moment it is connected

    def __init__(
        self, *arguments: Any, watch: ConnectionWatch | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._watch: ConnectionWatch = watch or _Unwatched()
        self._limits = self._watch.limits
        self._framing = Framing(self._limits.head_bytes)
        self._inner_app = self.app
        self.app: Any = self._in_pieces
        self._peer_scope: Mapping[str, Any] = {}  # keys of each scope about the peer
        self.stage = Stage.HEAD
        self.since = 0.0  # when the stage began, on the loop's clock
        self._fault: CloudError | None = None  # of the head that was just read
        self._body_bytes = 0  # of the request that is being read or answered, and its head
        self._held = 0  # bytes that came for requests which are not answered yet
        self._discarded = 0  # bytes that came after the end
        self._answer_bytes = 0  # of an answer that waits to be written
        self._blocked_since: float | None = None  # when the client was last seen not to read

    # What uvicorn and the event loop call

    def connection_made(self, transport: Any) -> None:
        """Look at the certificate; the handshake is done."""
        super().connection_made(transport)
        self.flow = self._bounded_flow = _Flow(transport)
        transport.set_write_buffer_limits(high=PIECE_BYTES // 2)
        if hasattr(transport, "set_read_buffer_limits"):
            transport.set_read_buffer_limits(high=PIECE_BYTES)
        self._enter(Stage.HEAD)
        self._peer_scope = scope_of_peer(transport)
        self._watch.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; an application that waits for its caller ends."""
        self.stage = Stage.END
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._watch.closed(self)

    def data_received(self, data: bytes) -> None:
        """Take what came, and begin what is complete."""
        if self.stage is Stage.END:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        if self.stage is Stage.IDLE:
            self._enter(Stage.HEAD)
        self._framing.feed(data)
        is_wanted = self.stage is not Stage.BODY or not self.cycle.response_complete
        if is_wanted and not self._hold(len(data)):
            self._refuse(Unavailable("too much is held for others"))
            return
        self._go_on()

    def on_message_begin(self) -> None:
        """Begin the scope of a request."""
        super().on_message_begin()
        self.scope.update(self._peer_scope)  # type: ignore[typeddict-item]

    def on_headers_complete(self) -> None:
        """Answer the request, unless its head is not in order."""
        version, method = self.parser.get_http_version(), self.parser.get_method()
        self._fault = fault_of(version, method, self.url, self.headers)
        if len(self.headers) > self._limits.head_fields:
            self._fault = HeadTooLarge(self._limits.head_fields, "headers")
        if self._fault is not None:
            return
        if not self.url.startswith(b"/"):
            self.url = _origin_form(self.url)
        self._framing.begin_body(self.headers)
        self._enter(Stage.ANSWER if self._framing.is_between else Stage.BODY)
        super().on_headers_complete()
        self._answer = _JoinedWrites(self.transport)
        self.cycle.transport = cast(asyncio.Transport, self._answer)
        self.headers = []  # what comes in a trailer is no header: RFC 9110, 6.5.1

    def on_message_complete(self) -> None:
        """Note the end of a request's body."""
        if self._fault is not None:
            return
        super().on_message_complete()
        if self.stage is Stage.BODY:
            self._enter(Stage.ANSWER)

    def on_response_complete(self) -> None:
        """Go on with the next request, once the answer can be written."""
        super().on_response_complete()
        if self.stage is Stage.ANSWER:
            self._next()

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        super().pause_writing()
        self._blocked_since = self.loop.time()
        self._hold_or_abort()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._blocked_since = None
        self._hold(0)
        if self.stage is Stage.ANSWER and self.cycle.response_complete:
            self._next()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that is idle."""
        if self.stage is Stage.IDLE:
            self._end()

    # What is ours

    def check(self, now: float) -> None:
        """End the connection if it takes longer at something than it may."""
        limits = self._limits
        if self.transport.is_closing():
            self._finish(now)
        elif self._is_blocked(now):
            self._watch.refused("answer_seconds")
            self.transport.abort()
        elif self.stage is Stage.HEAD and now - self.since > limits.head_seconds:
            self._watch.refused("head_seconds")
            if self._framing.held:
                self._refuse(TooSlow())
            else:
                self._end()
        elif self.stage is Stage.BODY:
            allowed = limits.body_seconds
            if not self.cycle.response_complete:  # else the rest is not needed
                allowed += self._body_bytes / limits.body_rate
            if now - self.since > allowed:
                self._watch.refused("body_seconds")
                if self.cycle.response_complete:
                    self.transport.abort()
                else:
                    self._refuse(TooSlow())
        elif self.stage is Stage.END:
            self._finish(now)

    @property
    def is_stalled(self) -> bool:
        """Whether the client does not read its answer just now."""
        return self._blocked_since is not None

    def _is_blocked(self, now: float) -> bool:
        """Return whether the client has not read for too long, or made TLS answer without end."""
        if self.transport.get_write_buffer_size() > STALLED_BYTES:
            return True
        since = self._blocked_since
        return since is not None and now - since > self._limits.answer_seconds

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    def _finish(self, now: float) -> None:
        """End at once what should have ended by now."""
        if self.stage is not Stage.END:
            self._enter(Stage.END)
            return
        # A client that keeps sending had time to see that it ends.
        linger = _FLOOD_SECONDS if self._discarded > READ_BYTES else self._limits.answer_seconds
        if now - self.since > linger:
            self.transport.abort()

    def _go_on(self) -> None:
        """Give the parser what it may have; begin no request before the last one is answered."""
        try:
            while self.stage is Stage.HEAD or self.stage is Stage.BODY:
                piece = self._framing.take()
                if piece is None:
                    break
                self._feed(piece)
                if self._fault is not None:
                    raise self._fault
        except CloudError as error:
            if isinstance(error, HeadTooLarge):
                self._watch.refused("head_bytes")
            self._refuse(error)
        except httptools.HttpParserError as error:
            self._refuse(Invalid("", f"the request cannot be read: {shown(str(error))}"))
        if self.stage is Stage.ANSWER and self.cycle.response_complete:
            self._next()  # it was answered before it was complete
        elif self.stage is Stage.ANSWER and self._framing.held:
            self._bounded_flow.is_held = True
            self.flow.pause_reading()
            self._hold_or_abort()

    def _feed(self, piece: bytes) -> None:
        if self.stage is Stage.BODY:
            self._body_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            assert self._fault is not None  # noqa: S101  # it was CONNECT

    def _discard(self, count: int) -> None:
        """Leave in the socket what comes after the end, but for a little."""
        self._discarded += count
        if self._discarded > READ_BYTES:
            self.flow.pause_reading()

    def _next(self) -> None:
        """Read the next request, if the answer before it was read."""
        if self.transport.is_closing() or self._blocked_since is not None:
            return
        self._body_bytes = 0
        self._bounded_flow.is_held = False
        self._hold(0, anew=True)
        if not self._framing.held:
            self._enter(Stage.IDLE)
            self.flow.resume_reading()
            return
        self._unset_keepalive_if_required()
        self._enter(Stage.HEAD)
        self._go_on()
        if not self._bounded_flow.is_held:
            self.flow.resume_reading()

    def _refuse(self, error: CloudError) -> None:
        """Answer with *error* if nothing was answered yet, and read nothing any more."""
        begun = self.cycle is not None and not self.cycle.response_complete
        if begun and self.cycle.response_started:
            self.transport.abort()
            return
        self._enter(Stage.END)
        self._framing = Framing(self._limits.head_bytes)  # what came is not wanted any more
        logger.info("refused a request: %s", shown(str(error)))
        extra = {"request-id": self._watch.new_id()}
        answer = error_response(error, extra, Headers())
        if begun:  # the application's answer is not wanted any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        headers = [*self.server_state.default_headers, *answer.raw_headers]
        head = [STATUS_LINE[answer.status_code], *(b"%s: %s\r\n" % header for header in headers)]
        self.transport.write(b"".join([*head, b"connection: close\r\n\r\n", bytes(answer.body)]))
        self._end()

    def _end(self) -> None:
        """End the connection once what is written was read; `check` sees to it that this is soon.

        Without TLS what still comes is taken until then: to close now would be a reset, and the
        client might not see the answer.
        """
        self._enter(Stage.END)
        if self.transport.can_write_eof():
            self._bounded_flow.is_held = True
            self.transport.write_eof()
        else:
            self.transport.close()

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        self.since = self.loop.time()

    def _hold_or_abort(self) -> None:
        if not self._hold(0):
            self.transport.abort()

    def _hold(self, count: int, *, anew: bool = False) -> bool:
        """Count *count* bytes of requests more than before; False if that is too much."""
        self._held = (self._framing.held if anew else self._held) + count
        stalled = self._blocked_since is not None or self._bounded_flow.is_held
        total = self._held + self._answer_bytes + (STALLED_BYTES if stalled else 0)
        return self._watch.held(self, total)

    async def _in_pieces(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, whose answers are written in pieces."""

        start: Message | None = None
        is_refused = False

        async def send_in_pieces(message: Message) -> None:
            nonlocal start, is_refused
            if message["type"] == "http.response.start":
                start = message
                return
            body = message.get("body", b"")
            if len(body) > PIECE_BYTES:
                is_refused = not self._hold_answer(len(body)) or is_refused
            if start is not None:
                answer.hold()
                await (self._send_unavailable(send) if is_refused else send(start))
                start = None
            if is_refused:
                self._hold_answer(0)
            elif len(body) <= PIECE_BYTES:
                await send(message)
            else:
                await self._send_pieces(message, body, send)
            answer.flush()

        answer = self._answer
        await self._inner_app(scope, receive, send_in_pieces)

    async def _send_pieces(self, message: Message, body: bytes, send: Send) -> None:
        try:
            for at in range(0, len(body), PIECE_BYTES):
                end = at + PIECE_BYTES
                more = message.get("more_body", False) or end < len(body)
                await send({**message, "body": bytes(body[at:end]), "more_body": more})
        finally:
            self._hold_answer(0)

    def _hold_answer(self, count: int) -> bool:
        """Count *count* bytes of an answer, those that waited until now not any more."""
        self._answer_bytes = count
        return self._hold(0)

    async def _send_unavailable(self, send: Send) -> None:
        """Answer instead of what there is no room for."""
        extra = {"request-id": self._watch.new_id()}
        error = error_response(Unavailable("too much is held for others"), extra, Headers())
        headers = [*error.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": error.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(error.body)})


def _origin_form(target: bytes) -> bytes:
    """Path and query of a *target* that may name scheme and host as well (RFC 9112, 3.2.2)."""
    if target.startswith((b"/", b"*")):
        return target
    rest = target.partition(b"://")[2]
    ends = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
    path = rest[min(ends, default=len(rest)) :]
    return path if path.startswith(b"/") else b"/" + path
