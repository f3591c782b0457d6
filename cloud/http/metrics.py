"""Metrics in the text format of Prometheus: a registry of this server's own.

Whoever has something to tell makes its metrics on `registry`; what has to be looked up when
somebody asks, and not before, is a source.
"""

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import Response

Source = Callable[[], Awaitable[None]]
"""Sets metrics to what is true now."""


class Metrics:
    """What the server tells of itself; no label may have a value for each node."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        # Asked one after the other, in the order they were added, each time somebody asks.
        self._sources: list[Source] = []

    def add_source(self, source: Source) -> None:
        """Have *source* asked before each answer; what it raises is the answer's error."""
        self._sources.append(source)

    async def response(self) -> Response:
        """All metrics as of now."""
        for source in self._sources:
            await source()
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)
