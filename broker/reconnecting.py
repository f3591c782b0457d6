"""Connecting again and again, with pauses that grow."""

import asyncio
from collections.abc import Awaitable, Callable

from broker.limits import ClientLimits


async def keep_connecting(
    attend: Callable[[], Awaitable[None]],
    limits: ClientLimits,
    *,
    are_all_tried: Callable[[], bool] = lambda: True,
) -> None:
    """Call *attend*, which lasts as long as a connection, until cancelled.

    The pause between two doubles once *are_all_tried*, and is the least again after a connection
    that lasted longer than it.
    """
    pause = least = limits.reconnect_least.total_seconds()
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        await attend()
        if loop.time() - began > pause:
            pause = least
        await asyncio.sleep(pause)
        if are_all_tried():
            pause = min(2 * pause, limits.reconnect_most.total_seconds())
