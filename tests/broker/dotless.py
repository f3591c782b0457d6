"""A hub that takes no dot in a client id, as NATS; for CONNECT and SUBSCRIBE only."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.deadlines import UNIT


@dataclass
class DotlessHub:
    """Where it listens, and the client ids and subscriptions that came."""

    port: int
    client_ids: list[str] = field(default_factory=list)
    granted: list[bytes] = field(default_factory=list)

    def serve(self, connection: ssl.SSLSocket) -> None:
        """One connection, until its client closes it."""
        packets = connection.makefile("rb")
        while first := packets.read(1):
            body = packets.read(packets.read(1)[0])
            if first == b"\x10":
                self.client_ids.append(body[12:].decode())
                is_refused = "." in self.client_ids[-1]
                connection.sendall(b"\x20\x02\x00" + (b"\x02" if is_refused else b"\x00"))
                if is_refused:
                    return
            elif first == b"\x82":
                wanted, place = b"", 2
                while place < len(body):
                    place += 2 + int.from_bytes(body[place : place + 2])
                    wanted += body[place : place + 1]
                    place += 1
                self.granted.append(wanted)
                connection.sendall(bytes((0x90, 2 + len(wanted))) + body[:2] + wanted)
            else:
                return


@contextlib.contextmanager
def running_dotless_hub(context: ssl.SSLContext) -> Iterator[DotlessHub]:
    """Serve one connection after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(UNIT)
        hub, is_over = DotlessHub(listening.getsockname()[1]), threading.Event()

        def run() -> None:
            while not is_over.is_set():
                with contextlib.suppress(OSError):
                    accepted, _ = listening.accept()
                    accepted.settimeout(10 * UNIT)
                    with context.wrap_socket(accepted, server_side=True) as connection:
                        hub.serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield hub
        finally:
            is_over.set()
            thread.join(30 * UNIT)
