"""Unmodified amqtt, which the benchmark compares the hub with.

What it is given is on its way before anything is stored, and all D-numbered defects are in it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from amqtt.broker import Broker, BrokerContext
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import ApplicationMessage, Session

OnMessage = Callable[[str, bytes], None]
Publish = Callable[[str, bytes], Awaitable[None]]


class StockTap(BaseAuthPlugin):
    """Admits all clients and hands every publish to `on_message`."""

    @dataclass
    class Config:
        """No options; amqtt wants the class."""

    def __init__(self, context: BrokerContext) -> None:
        super().__init__(context)
        self.on_message: OnMessage = lambda _topic, _payload: None

    async def authenticate(self, *, session: Session) -> bool:
        """Admit clients with or without a certificate."""
        return True

    async def on_broker_message_received(
        self, *, client_id: str, message: ApplicationMessage | None
    ) -> None:
        """Pass a publish of a node on; the broker's own come back here too."""
        if message is not None:
            self.on_message(message.topic, bytes(message.data))


@asynccontextmanager
async def open_stock_broker(
    *, host: str, certificate: Path, authority: Path, on_message: OnMessage
) -> AsyncIterator[tuple[int, Publish]]:
    """Run amqtt's own broker with TLS on a free port; gives the port and a way to publish."""
    broker = Broker(
        {
            "listeners": {
                "default": {
                    "type": "tcp",
                    "bind": f"{host}:0",
                    "ssl": True,
                    "cafile": str(authority),
                    "certfile": str(certificate),
                    "keyfile": str(certificate),
                }
            },
            "plugins": {f"{__name__}.{StockTap.__name__}": {}},
        }
    )
    tap = broker.plugins_manager.get_plugin(StockTap.__name__)
    if not isinstance(tap, StockTap):
        raise TypeError("amqtt did not load its plugin")
    tap.on_message = on_message
    await broker.start()
    try:
        server = broker._servers["default"].instance
        port = next(iter(server.sockets)).getsockname()[1]

        async def publish(topic: str, payload: bytes) -> None:
            await broker.internal_message_broadcast(topic, payload, 0)

        yield port, publish
    finally:
        await broker.shutdown()
