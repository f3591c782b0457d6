"""A client of the REST API: `Client`, and `AsyncClient` for asyncio.

Reading order: `client`, `resources` (what all kinds have), `nouns` (what each has beside that);
then how both clients come from one text: `steps` (calls without I/O), `methods`, `engines`.
"""

from typing import TYPE_CHECKING, Any

from edgesync.client.errors import (
    AccessError,
    ApiError,
    ChangedMeanwhile,
    ClientError,
    ConflictError,
    ConnectionLost,
    GoneError,
    InvalidCall,
    NotConfirmed,
    NotConverged,
    NotFoundError,
    NotPermitted,
    RolloutFailed,
    ServerBusy,
    Unauthenticated,
    UnreadableAnswer,
    WaitTimeout,
)

if TYPE_CHECKING:
    from edgesync.client.client import AsyncClient, Client
    from edgesync.client.steps import Retries
    from edgesync.client.watching import WatchHooks

__all__ = [
    "AccessError",
    "ApiError",
    "AsyncClient",
    "ChangedMeanwhile",
    "Client",
    "ClientError",
    "ConflictError",
    "ConnectionLost",
    "GoneError",
    "InvalidCall",
    "NotConfirmed",
    "NotConverged",
    "NotFoundError",
    "NotPermitted",
    "Retries",
    "RolloutFailed",
    "ServerBusy",
    "Unauthenticated",
    "UnreadableAnswer",
    "WaitTimeout",
    "WatchHooks",
]

_LATER = {
    "AsyncClient": "edgesync.client.client",
    "Client": "edgesync.client.client",
    "Retries": "edgesync.client.steps",
    "WatchHooks": "edgesync.client.watching",
}
"""Imported when they are asked for: `edgesync --help` needs the errors alone, and no httpx."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
