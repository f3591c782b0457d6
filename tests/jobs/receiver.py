"""A receiver of callbacks that checks signatures, written from the published specification.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md; nothing
of what signs is used here.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Got:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    def is_signed_with(self, secret: str) -> bool:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.content
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        versions = self.headers["webhook-signature"].split(" ")
        return any(hmac.compare_digest(f"v1,{expected}", version) for version in versions)


@dataclass
class Receiver:
    """Answers with *status*, after *delay* seconds, and keeps what it got."""

    url: str = ""
    status: int = 204
    delay: float = 0
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Got] = field(default_factory=list)


@contextlib.contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Receive meanwhile, on a free port of this machine or on *port*."""
    receiver = Receiver()

    class ReceiverHandler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {key.lower(): value for key, value in self.headers.items()}
            receiver.got.append(Got(self.command, self.path, headers, content))
            time.sleep(receiver.delay)
            with contextlib.suppress(OSError):
                self.send_response(receiver.status)
                for key, value in receiver.headers.items():
                    self.send_header(key, value)
                self.end_headers()

        do_GET = do_POST = do_PUT = do_PATCH = _take

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), ReceiverHandler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=60)
