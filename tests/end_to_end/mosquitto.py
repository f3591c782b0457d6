"""A Mosquitto that takes nodes of a server's authority, and checks its list of revoked ones."""

import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.broker.node import connect_packet
from tests.end_to_end.conftest import UNIT, Identity, wait_for

PROGRAM = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@dataclass
class Mosquitto:
    """A running broker."""

    process: "subprocess.Popen[bytes]"
    port: int

    def reload(self) -> None:
        """Have it read its list again."""
        self.process.send_signal(signal.SIGHUP)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_mosquitto(folder: Path, ca: Path, trusted: str, crl: Path) -> Iterator[Mosquitto]:
    """Run it with the server certificate in *ca*; it trusts *trusted* and checks against *crl*."""
    folder.mkdir()
    port = free_port()
    (folder / "trusted.pem").write_text(trusted)
    config = folder / "mosquitto.conf"
    config.write_text(
        f"""
listener {port} 127.0.0.1
cafile {folder}/trusted.pem
certfile {ca}/server.pem
keyfile {ca}/server.key
crlfile {crl}
require_certificate true
use_identity_as_username true
user root
"""
    )
    assert PROGRAM is not None
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([PROGRAM, "-c", str(config)], stdout=output, stderr=output)
    try:
        wait_for(lambda: _listens(port) or process.poll() is not None, "Mosquitto to listen")
        assert process.poll() is None, log.read_text()
        yield Mosquitto(process, port)
    finally:
        process.kill()
        process.wait()


def lets_in(port: int, identity: Identity) -> bool:
    """Say whether the broker or hub on *port* takes the node."""
    return bool(connack(port, identity.context(), identity.node_id) == 0)


def connack(
    port: int, context: ssl.SSLContext, client_id: str, session: ssl.SSLSession | None = None
) -> int | None:
    """Return code of a CONNECT; None where TLS or the connection ended before there was one."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10 * UNIT) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
        ):
            secure.sendall(connect_packet(client_id))
            answer = secure.recv(4)
            return answer[3] if len(answer) == 4 else None
    except OSError:
        return None


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
