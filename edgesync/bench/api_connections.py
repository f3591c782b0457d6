"""Reads over connections in parallel, as from several dashboards and programs at once.

A server is started on the store that was filled. Each connection sends the next request as soon as
its answer is there; the client parses no more than the length of the answer. Beside it as many
callers get the same rows by key from the store alone, in this process.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import uvloop

from cloud.store.transaction import Store, Transaction
from edgesync.bench.api_results import ParallelResult
from edgesync.bench.site import start_server

CONNECTIONS = 16
_PATIENCE_SECONDS = 60
_PAGE = 200
_SELECTOR = "rack=3"

READS: Mapping[str, str] = {
    "get a node": "/v1/nodes/n0",
    f"list {_PAGE}, {_SELECTOR}": f"/v1/nodes?limit={_PAGE}&selector={quote(_SELECTOR)}",
}
"""Paths by the names of the lines."""


@dataclass(slots=True)
class _Load:
    """The load of all connections; each is closed with its first answer after *ends*."""

    request: bytes
    ends: float
    answers: int = 0
    failure: str = ""


class _AnswerReader(asyncio.Protocol):
    """A connection that sends its request again and again."""

    def __init__(self, load: _Load) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        self._load = load
        self._received = bytearray()
        # Of the answer that is received, with its head; 0 before the head is there.
        self._length = 0

    def connection_made(self, transport: Any) -> None:
        """Send the first request."""
        self._transport = transport
        transport.write(self._load.request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Send the next request once an answer is complete."""
        self._received += data
        if not self._length and not self._read_head():
            return
        if len(self._received) < self._length:
            return
        self._received.clear()
        self._length = 0
        self._load.answers += 1
        if self._load.failure or time.monotonic() >= self._load.ends:
            self._transport.close()
        else:
            self._transport.write(self._load.request)

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        status, *lines = bytes(self._received[:end]).lower().split(b"\r\n")
        if b" 200 " not in status:
            self._load.failure = status.decode(errors="replace")
        lengths = [line for line in lines if line.startswith(b"content-length:")]
        self._length = end + 4 + int(lengths[0].partition(b":")[2])
        return True


async def _read(url: str, token: str, path: str, seconds: float) -> float:
    """Answers a second; RuntimeError for one that is no success."""
    where = urlsplit(url)
    address = where.hostname or "", where.port or 80
    head = f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
    began = time.monotonic()
    load = _Load(head.encode(), began + seconds)
    loop = asyncio.get_running_loop()
    readers = [
        (await loop.create_connection(lambda: _AnswerReader(load), *address))[1]
        for _ in range(CONNECTIONS)
    ]
    await asyncio.wait_for(
        asyncio.gather(*(reader.closed for reader in readers)), seconds + _PATIENCE_SECONDS
    )
    if load.failure:
        raise RuntimeError(f"{path} was answered {load.failure}")
    return load.answers / (time.monotonic() - began)


async def store_rates(store: Store, namespace: str, seconds: float) -> Mapping[str, float]:
    """Reads a second of the store alone, of as many callers, by the names of `READS`."""

    async def rate(work: Callable[[Transaction], object]) -> float:
        count, began = 0, time.monotonic()

        async def again() -> None:
            nonlocal count
            while time.monotonic() < began + seconds:
                await store.read(work)
                count += 1

        await asyncio.gather(*(again() for _ in range(CONNECTIONS)))
        return count / (time.monotonic() - began)

    names = [f"n{number}" for number in range(_PAGE)]
    works: list[Callable[[Transaction], object]] = [
        lambda tx: tx.node(namespace, "n0"),
        lambda tx: [tx.node(namespace, name) for name in names],
    ]
    return {name: await rate(work) for name, work in zip(READS, works, strict=True)}


def parallel_reads(
    directory: Path, alone: Mapping[str, float], seconds: float
) -> list[ParallelResult]:
    """The reads of a server on the store in *directory*, *seconds* for each, beside those *alone*.

    ClickException if the server does not start.
    """
    with contextlib.ExitStack() as stack:
        server = start_server(directory, "--replace-lost-keys")
        stack.callback(server.stop)
        server.wait_until_ready()
        token = (directory / "admin.token").read_text(encoding="ascii").strip()
        results = []
        for name, path in READS.items():
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_read(server.ready["api"], token, path, min(seconds, 1)))
                used, began = server.cpu_seconds, time.monotonic()
                rate = runner.run(_read(server.ready["api"], token, path, seconds))
                answers = rate * (time.monotonic() - began)
            cpu = (server.cpu_seconds - used) / max(answers, 1) * 1000
            results.append(ParallelResult(name, CONNECTIONS, rate, cpu, alone[name]))
    return results
