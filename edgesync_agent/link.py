"""One connection to the server."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from pathlib import Path
from typing import Any, Iterator

from edgesync_agent.clock import NO_CHECK_TIME, Clock, WrongTime
from edgesync_agent.errors import HubConnectionLost
from edgesync_agent.mqtt import (
    DISCONNECT,
    PINGREQ,
    Splitter,
    connect_packet,
    puback_packet,
    publish_packet,
    read_publish,
    subscribe_packet,
)

KEEP_ALIVE = 60  # seconds
IDENTIFIER_REJECTED = 2
PATIENCE = 20  # seconds for the server to take or answer what is needed to go on


def trusting(ca: Path) -> ssl.SSLContext:
    """TLS that trusts the server's own authority and nothing else; dates are for `Clock.check`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | NO_CHECK_TIME)
    context.load_verify_locations(cafile=str(ca))
    return context


class AgentLink:
    """One connection to the server's hub: TLS on both sides, subscribed, ready to report.

    Raises OSError, and WrongTime where the server's certificate is not valid now.
    """

    def __init__(
        self, home: Path, identity: dict[str, Any], certificate: Path, clock: Clock
    ) -> None:
        self.prefix = f"edge/v1/{identity['nodeId']}/"
        self.splitter = Splitter()
        self.number = 1  # of the last packet that is to be acknowledged
        self.waiting: list[tuple[int, bytes]] = []  # packets that came and were not looked at
        self.context = trusting(home / "identity" / "ca.pem")
        self.context.load_cert_chain(certificate, home / "identity" / "key.pem")
        self.hub = identity["mqttHost"], identity["mqttPort"]
        self._dial()
        try:
            clock.check(self.socket.getpeercert())
        except WrongTime:
            self.socket.close()
            raise
        self.address = str(self.socket.getsockname()[0])

    def _dial(self) -> None:
        host, _ = self.hub
        plain = socket.create_connection(self.hub, timeout=PATIENCE)
        try:
            self.socket = self.context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        self.sent = self.heard = time.monotonic()

    def open(self, node_id: str) -> None:
        """CONNECT and SUBSCRIBE; HubConnectionLost states why the server does not want it.

        A hub that takes no dot in a client id is NATS, where a subscription of QoS 1 depends on all
        of its servers, and brings nothing: what comes is of QoS 0 (docs/protocol.md).
        """
        qos = 1
        code = self._connect(node_id)
        if code == IDENTIFIER_REJECTED:
            self.close()
            self.splitter = Splitter()
            self._dial()
            code, qos = self._connect(node_id.replace(".", "/")), 0
        if code == 5:
            raise HubConnectionLost(
                "the server refuses this node: deleted, or its certificate is revoked"
            )
        if code:
            raise HubConnectionLost(f"the server refuses the connection (code {code})")
        channels = ("delta", "desire-response", "renew-response")
        self.write(subscribe_packet(1, [self.prefix + channel for channel in channels], qos))
        if 0x80 in self._expect(0x90)[2:]:
            raise HubConnectionLost("the server refuses the subscription")
        # A server that knows no commands refuses this; then there are none.
        self.write(subscribe_packet(2, [f"{self.prefix}command"], qos))
        self._expect(0x90)

    def _connect(self, client_id: str) -> int:
        """Send CONNECT; the return code of the CONNACK."""
        self.write(connect_packet(client_id, KEEP_ALIVE))
        return self._expect(0x20)[1]

    def close(self) -> None:
        """Send DISCONNECT, if still connected."""
        with contextlib.suppress(OSError):
            self.socket.settimeout(1)
            self.socket.sendall(DISCONNECT)
        self.socket.close()

    def write(self, data: bytes) -> None:
        """Send *data*, whole."""
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(data)
        self.sent = time.monotonic()

    def publish(self, channel: str, payload: bytes) -> None:
        """Publish at QoS 1 on a topic of this node's own."""
        self.number = self.number % 0xFFFF + 1
        self.write(publish_packet(self.number, self.prefix + channel, payload))

    def receive(self, seconds: float) -> Iterator[tuple[str, bytes]]:
        """Channel and payload of what comes within *seconds*, perhaps nothing."""
        for first, body in self._packets(seconds):
            if first & 0xF0 == 0x30:
                number, topic, payload = read_publish(first, body)
                if number is not None:
                    self.write(puback_packet(number))
                yield topic[len(self.prefix) :], payload
        now = time.monotonic()
        if now - self.heard > 1.5 * KEEP_ALIVE:
            raise HubConnectionLost("nothing is heard of the server")
        if now - self.sent > 0.5 * KEEP_ALIVE:
            self.write(PINGREQ)

    def _expect(self, kind: int) -> bytes:
        """Body of the next packet, which has to be of that *kind*, soon."""
        deadline = time.monotonic() + PATIENCE
        while not self.waiting:
            if time.monotonic() > deadline:
                raise HubConnectionLost("the server does not answer")
            self.waiting = self._packets(1)
        first, body = self.waiting.pop(0)
        if first & 0xF0 != kind or len(body) < 2:
            raise HubConnectionLost("the server answers with something else")
        return body

    def _packets(self, seconds: float) -> list[tuple[int, bytes]]:
        if self.waiting:
            found, self.waiting = self.waiting, []
            return found
        self.socket.settimeout(max(seconds, 0.01))
        try:
            data = self.socket.recv(65536)
        except socket.timeout:
            return []
        if not data:
            raise HubConnectionLost("the server closed the connection")
        self.heard = time.monotonic()
        return self.splitter.feed(data)
