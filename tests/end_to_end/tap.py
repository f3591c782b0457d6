"""An observer between nodes and their hub, with the server's key: it reads what is below TLS."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


class TlsTap:
    """Ends the TLS of each connection, and opens another one to the hub as the node.

    *as_node* is asked for the context to do so; all bytes of both directions are in *seen*.
    """

    def __init__(self, target: int, ca: Path, as_node: Callable[[str], ssl.SSLContext]) -> None:
        self._target = target
        self._as_node = as_node
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(ca / "server.pem", ca / "server.key")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(ca / "root.pem")
        self._context.load_verify_locations(ca / "intermediate.pem")
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self.seen = bytearray()

    def __enter__(self) -> "TlsTap":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(plain,), daemon=True).start()

    def _connect(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError):
            near = self._context.wrap_socket(plain, server_side=True)
            shown: Any = near.getpeercert()
            subject = dict(pair for part in shown["subject"] for pair in part)
            hub = socket.create_connection(("127.0.0.1", self._target))
            context = self._as_node(subject["commonName"])
            far = context.wrap_socket(hub, server_hostname="localhost")
            self._ends += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: ssl.SSLSocket, sink: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    self.seen += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
