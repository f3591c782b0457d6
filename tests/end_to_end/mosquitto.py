"""A Mosquitto for nodes of a server's authority, with the configuration that edgesync writes.

And `connack`, which knocks at a broker or hub with nothing but a socket.
"""

import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from broker.configuration import BrokerSettings, mosquitto_files
from tests.broker.node import connect_packet
from tests.deadlines import UNIT
from tests.end_to_end.conftest import Identity, wait_for
from tests.ports import free_port

PROGRAM = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@dataclass
class MosquittoServer:
    """A running broker."""

    process: "subprocess.Popen[bytes]"
    port: int

    def reload(self) -> None:
        """Have it read its list again."""
        self.process.send_signal(signal.SIGHUP)


@contextmanager
def running_mosquitto(folder: Path, ca: Path, trusted: str) -> Iterator[MosquittoServer]:
    """Run it with the server certificate in *ca*; it trusts *trusted*.

    It checks against `crl.pem` in *folder*, which has to be there.
    """
    ports = [free_port(), free_port()]
    settings = BrokerSettings(
        directory=folder,
        node_address="127.0.0.1",
        node_port=ports[0],
        server_port=ports[1],
        user="root" if os.geteuid() == 0 else "",
    )
    (folder / "state").mkdir()
    for name, text in {**mosquitto_files(settings), "ca.pem": trusted}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    for name in ("server.pem", "server.key"):
        shutil.copy(ca / name, folder / name)
    assert PROGRAM is not None
    log = folder / "log"
    with log.open("wb") as output:
        command = [PROGRAM, "-c", str(folder / "mosquitto.conf")]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(lambda: listens(ports[0]) or process.poll() is not None, "Mosquitto to listen")
        assert process.poll() is None, log.read_text()
        yield MosquittoServer(process, ports[0])
    finally:
        process.kill()
        process.wait(timeout=60)


def lets_in(port: int, identity: Identity) -> bool:
    """Return whether the broker or hub on *port* takes the node."""
    return bool(connack(port, identity.context(), identity.node_id) == 0)


def connack(
    port: int, context: ssl.SSLContext, client_id: str, session: ssl.SSLSession | None = None
) -> int | None:
    """Return code of a CONNECT; None where TLS or the connection ended before there was one."""
    answer = exchange(port, context, connect_packet(client_id), session)[0]
    return answer[3] if len(answer) >= 4 else None


def exchange(
    port: int, context: ssl.SSLContext, request: bytes, session: ssl.SSLSession | None = None
) -> tuple[bytes, ssl.SSLSession | None]:
    """The first bytes of the answer to *request*, none where there is no answer; and the session.

    A *session* of before is offered to the server.
    """
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10 * UNIT) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
        ):
            secure.sendall(request)
            return secure.recv(4096), secure.session
    except OSError:
        return b"", None


def listens(port: int) -> bool:
    """Return whether a process accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
