"""Desires that wait until the secrets they ask for are read from their sources.

Nothing else waits for a source: a desire whose secrets were not read is held here, and carried out
again once they were, whether that succeeded or not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from broker.hub import Inbound
from cloud.errors import SecretsUnread, UnreadSecret

T = TypeVar("T")

ReadSecrets = Callable[[Iterable[UnreadSecret]], Awaitable[None]]
"""Reads secrets from their sources; takes a few seconds at most."""

TRIES = 3
"""How often the secrets of one desire are read, at most."""


async def reads_no_secrets(_secrets: Iterable[UnreadSecret]) -> None:
    """Where a server reads no sources."""


async def or_unread(answer: Awaitable[T]) -> T | SecretsUnread:
    """The *answer*, or which secrets have to be read before there is one."""
    try:
        return await answer
    except SecretsUnread as error:
        return error


async def once_read(
    first: T | SecretsUnread, again: Callable[[], Awaitable[T]], read: ReadSecrets
) -> T:
    """The answer: the *first*, or what *again* answers once secrets were *read*.

    SecretsUnread after TRIES.
    """
    answer = first
    for _ in range(TRIES):
        if not isinstance(answer, SecretsUnread):
            break
        await read(answer.secrets)
        answer = await or_unread(again())
    if isinstance(answer, SecretsUnread):
        raise answer
    return answer


class UnreadSecrets:
    """Owns the desires that wait, as many as wait for their acknowledgement in the hub."""

    def __init__(self, read: ReadSecrets) -> None:
        self._read = read
        self._waiting: list[tuple[Inbound, SecretsUnread]] = []
        self._changed = asyncio.Event()
        # How often each desire that is not answered yet was held, by its `id`.
        self._tries: dict[int, int] = {}

    def hold(self, desire: Inbound, outcome: object) -> bool:
        """Hold *desire* if its *outcome* is that secrets were not read; False: it is answered."""
        tries = self._tries.get(id(desire), 0)
        if not isinstance(outcome, SecretsUnread) or tries >= TRIES:
            self._tries.pop(id(desire), None)
            return False
        self._tries[id(desire)] = tries + 1
        self._waiting.append((desire, outcome))
        self._changed.set()
        return True

    async def take(self) -> Sequence[Inbound]:
        """Those that wait, once the secrets of all of them were read."""
        await self._changed.wait()
        self._changed.clear()
        waiting, self._waiting = self._waiting, []
        await self._read(one for _, outcome in waiting for one in outcome.secrets)
        return [desire for desire, _ in waiting]
