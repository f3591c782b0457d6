"""A web application behind a real web server on a port of its own."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

from cloud.http.protocol import BoundedProtocol


class _PlainServer(uvicorn.Server):
    """Ends at once when asked to, where uvicorn waits for a tenth of a second, twice."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()

    async def main_loop(self) -> None:
        await self.stopping.wait()
        self.force_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)  # what is idle is closed then
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve *app* meanwhile, over TLS if there is a context; where."""
    # asyncio sends at once (TCP_NODELAY) only on sockets of the protocol TCP.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            log_config=None,
            lifespan="off",
            ws="none",
            loop="none",
            proxy_headers=False,
        )
        config.load()
        config.ssl = tls
        server = _PlainServer(config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                scheme = "https" if tls else "http"
                yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.stopping.set()
