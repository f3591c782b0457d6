"""Both clients, behind one way to use them."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pytest

from edgesync.client import AsyncClient, Client, Retries
from tests.rest.conftest import TOKEN, World, world

__all__ = ["world"]

QUICK = Retries(first=0.01)
"""Retries that take no time."""

KINDS_OF_CLIENTS = (Client, AsyncClient)


@dataclass(frozen=True)
class ClientUser:
    """Uses a client of either kind from a test, which runs on an event loop."""

    client: Any

    async def do(self, call: Callable[[Any], Any], *, first: int | None = None) -> Any:
        """What *call* of the client returns; a list of the *first* items where it iterates."""
        if isinstance(self.client, Client):
            return await asyncio.to_thread(self._wait, call, first)
        result = call(self.client)
        if inspect.isawaitable(result):
            return await result
        if not inspect.isasyncgen(result):
            return result
        items: list[Any] = []
        async for item in result:
            items.append(item)
            if len(items) == first:
                break
        await result.aclose()
        return items

    def _wait(self, call: Callable[[Any], Any], first: int | None) -> Any:
        result = call(self.client)
        return list(islice(result, first)) if isinstance(result, Iterator) else result

    async def close(self) -> None:
        """Close the client."""
        if isinstance(self.client, Client):
            self.client.close()
        else:
            await self.client.aclose()


@pytest.fixture(params=KINDS_OF_CLIENTS, ids=["waiting", "asyncio"])
async def user(request: pytest.FixtureRequest, world: World) -> AsyncIterator[ClientUser]:
    """A client of *world*, once of each kind."""
    user = ClientUser(request.param(world.url, token=TOKEN, retries=QUICK))
    yield user
    await user.close()


@pytest.fixture(params=KINDS_OF_CLIENTS, ids=["waiting", "asyncio"])
def kind_of_client(request: pytest.FixtureRequest) -> Any:
    """Both clients."""
    return request.param
