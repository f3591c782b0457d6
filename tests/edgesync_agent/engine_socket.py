"""Sockets in front of an engine: one forwards, one kills the agent at changes of the engine."""

import contextlib
import http.client
import os
import queue
import re
import signal
import socket
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

_KEYS = re.compile(r"/[0-9a-f]{64}\b|/edgesync[\w.-]*")

Response = tuple[int, bytes]
"""Status and body."""


class EngineSocket:
    """Listens at *path* and forwards requests to the engine's socket at *engine*."""

    def __init__(self, path: Path, engine: str) -> None:
        self.path = path
        self.engine = engine
        self.server = _EngineServer(str(path), _Forwarding)
        self.server.owner = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def respond(
        self, method: str, target: str, body: bytes, forward: Callable[[], Response]
    ) -> Response | None:
        """The response to a request; None to close the connection without one."""
        return forward()

    def close(self) -> None:
        """End it; the path can be used again."""
        self.server.shutdown()
        self.server.server_close()
        self.path.unlink(missing_ok=True)


class KillingSocket(EngineSocket):
    """Kills the process in the queue *victim* at every change number *each* of the engine's state.

    It does that before the engine sees the request or, with *is_after*, once the engine has carried
    it out; no response is sent. A change that is requested again, by the next agent, is not counted
    again. *killed_at* has the changes where that was, as `DELETE /containers/ID`.
    """

    def __init__(self, path: Path, engine: str, each: int, *, is_after: bool) -> None:
        self.each = each
        self.is_after = is_after
        self.victim: queue.Queue[int] = queue.Queue()
        self.lock = threading.Lock()
        self.begin()
        super().__init__(path, engine)

    def begin(self) -> None:
        """Count anew, for another step."""
        self.changes: set[tuple[str, str, bytes]] = set()
        self.killed_at: list[str] = []

    def respond(
        self, method: str, target: str, body: bytes, forward: Callable[[], Response]
    ) -> Response | None:
        """Forward, or kill."""
        if not self._is_deadly(method, target, body):
            return forward()
        if self.is_after:
            forward()
        with contextlib.suppress(queue.Empty):  # another request has killed it
            os.kill(self.victim.get(timeout=5), signal.SIGKILL)
        return None

    def _is_deadly(self, method: str, target: str, body: bytes) -> bool:
        change = method, target, body
        with self.lock:
            if method == "GET" or change in self.changes:
                return False
            self.changes.add(change)
            if len(self.changes) % self.each:
                return False
            path = target.partition("?")[0].partition("/v1.41")[2]
            self.killed_at.append(f"{method} {_KEYS.sub('/ID', path)}")
            return True


class _EngineServer(socketserver.ThreadingUnixStreamServer):
    owner: EngineSocket
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Ignore connections that end with the agent."""


class _EngineConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Forwarding(BaseHTTPRequestHandler):
    server: _EngineServer
    protocol_version = "HTTP/1.1"

    def _respond(self) -> None:
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def forward() -> Response:
            connection = _EngineConnection(owner.engine)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                return answer.status, answer.read()
            finally:
                connection.close()

        found = owner.respond(self.command, self.path, body, forward)
        if found is None:
            self.close_connection = True
            return
        status, content = found
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _respond

    def log_message(self, *_: object) -> None:
        """Write no log."""
