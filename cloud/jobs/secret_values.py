"""Values of secrets with sources: read when nodes need them, held in memory for a short time.

Every server reads by itself. At an interval all sources are read again, to find values that have
changed: these make new versions of their secrets.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from cloud.core.secret import Secret
from cloud.core.secret_source import SecretSource, Sources
from cloud.errors import SecretUnreadable, Unavailable, UnreadSecret
from cloud.jobs.source_reader import SourceReader
from cloud.operations.secret_sources import SourcesRead, record_sources
from cloud.store.transaction import Store, Transaction

logger = logging.getLogger(__name__)

HELD = timedelta(seconds=60)
"""How long values are used after they were read."""

FAILURE_HELD = timedelta(seconds=10)
"""How long a source that could not be read is not read for nodes again."""

READ = timedelta(seconds=10)
"""Time in which the values of one secret are read."""

LOOK_EVERY = timedelta(seconds=5)
"""Interval between two looks for secrets that were never read."""

HELD_BYTES = 16 * 1024 * 1024
"""Bytes of all values in memory; the oldest are removed first."""

AT_ONCE = 8
"""Secrets that are read at the same time."""


_Key = tuple[str, tuple[tuple[str, SecretSource], ...]]


@dataclass(frozen=True, slots=True)
class _Held:
    """What was read, as which read of all, and until when it is used, in seconds of the timer."""

    read: SourcesRead
    number: int
    until: float

    @property
    def size(self) -> int:
        """About its bytes."""
        return 256 + sum(len(key) + len(value) for key, value in self.read.values.items())


class SecretValues:
    """Owns the values in memory; *timer* counts seconds.

    `values_of` may be called on any thread.
    """

    def __init__(
        self,
        store: Store,
        reader: SourceReader,
        clock: Callable[[], datetime],
        timer: Callable[[], float],
        *,
        new_salt: Callable[[], str],
        every: timedelta,
        held_bytes: int = HELD_BYTES,
        read_within: timedelta = READ,
    ) -> None:
        self._store = store
        self._reader = reader
        # Refuses sources that are not read here.
        self.check = reader.check
        self._clock = clock
        self._timer = timer
        self._new_salt = new_salt
        self._every = every
        self._held_bytes = held_bytes
        self._read_within = read_within.total_seconds()
        # The oldest first.
        self._held: dict[_Key, _Held] = {}
        self._locks: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()
        self._reading = asyncio.Semaphore(AT_ONCE)
        # How many reads began.
        self._begun = 0

    def __repr__(self) -> str:
        return f"SecretValues(<{len(self._held)} secrets>)"

    @property
    def size(self) -> int:
        """About how many bytes are held."""
        return sum(held.size for held in self._held.values())

    def values_of(self, secret: Secret) -> Mapping[str, str] | None:
        """The values of its sources; None if they were not read a moment ago.

        SecretUnreadable if they could not be.
        """
        held = self._held.get(_key(secret.namespace, secret.sources))
        if held is None or self._timer() >= held.until:
            return None
        if held.read.error:
            raise SecretUnreadable(secret.name)
        return held.read.values

    async def read(self, secrets: Iterable[UnreadSecret]) -> None:
        """Read the values of *secrets* now, and record what is new; an error is held and logged."""
        distinct = {
            (namespace, name, _key(namespace, sources)): sources
            for namespace, name, sources in secrets
        }
        async with asyncio.TaskGroup() as tasks:
            for (namespace, name, _), sources in distinct.items():
                tasks.create_task(self._read_one(namespace, name, sources), name="secret")

    async def run(self) -> None:
        """Read all sources at the interval, and new ones soon, until cancelled."""
        look = min(LOOK_EVERY, self._every)
        due = self._timer()
        while True:
            try:
                if self._timer() >= due:
                    due = self._timer() + self._every.total_seconds()
                    await self.read_all()
                else:
                    await self.read_new()
            except Unavailable as error:
                logger.warning("cannot look for changed secrets, trying again: %s", error.reason)
            await asyncio.sleep(look.total_seconds())

    async def read_all(self) -> None:
        """Read the sources of all secrets; Unavailable: there is no store."""
        await self._read_some(await self._store.read(lambda tx: tx.sourced_secrets()))

    async def read_new(self) -> None:
        """Read those that were never read: of new secrets, and of those with other sources."""
        await self._read_some(await self._store.read(lambda tx: tx.new_sourced_secrets()))

    async def _read_some(self, places: Sequence[tuple[str, str]]) -> None:
        """Read *places*, as many as are read at a time."""
        for first in range(0, len(places), AT_ONCE):
            some = places[first : first + AT_ONCE]

            def sourced(tx: Transaction, some: Sequence[tuple[str, str]] = some) -> list[Secret]:
                found = [tx.secret(*place) for place in some]
                return [secret for secret in found if secret is not None]

            secrets = await self._store.read(sourced)
            await self.read((one.namespace, one.name, one.sources) for one in secrets)

    async def _read_one(self, namespace: str, name: str, sources: Sources) -> None:
        key, begun = _key(namespace, sources), self._begun
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock, self._reading:
            held = self._held.get(key)
            if held is None or held.number <= begun:  # no read began since
                self._begun += 1
                number = self._begun
                read = await self._read_now(namespace, name, sources)
                held = self._hold(key, number, read)
            read = replace(held.read, name=name)
            try:
                await self._record(read)
            except Unavailable as error:
                logger.warning("cannot record that secret %s was read: %s", name, error.reason)

    async def _read_now(self, namespace: str, name: str, sources: Sources) -> SourcesRead:
        try:
            async with asyncio.timeout(self._read_within):
                values = await self._reader.values(namespace, sources)
        except TimeoutError:
            error = f"its sources gave no answer within {self._read_within:g} s"
        except Unavailable as failure:
            error = failure.reason
        else:
            return SourcesRead(namespace, name, sources, values)
        logger.warning("secret %s of %s cannot be read: %s", name, namespace, error)
        return SourcesRead(namespace, name, sources, {}, error)

    def _hold(self, key: _Key, number: int, read: SourcesRead) -> _Held:
        """Hold what was *read*, and what was read before as far as there is room for it."""
        now = self._timer()
        held = _Held(read, number, now + (FAILURE_HELD if read.error else HELD).total_seconds())
        self._held.pop(key, None)
        self._held[key] = held
        size = self.size
        for old, one in list(self._held.items()):
            if one.until > now and (size <= self._held_bytes or old == key):
                break
            del self._held[old]
            size -= one.size
        return held

    async def _record(self, read: SourcesRead) -> None:
        """Record what was *read*, where it is news."""

        def is_known(tx: Transaction) -> bool:
            return read.is_known(tx.source_state(read.namespace, read.name))

        if await self._store.read(is_known):
            return
        await self._store.write(
            lambda tx: record_sources(tx, read, new_salt=self._new_salt, now=self._clock())
        )


def _key(namespace: str, sources: Sources) -> _Key:
    return namespace, tuple(sorted(sources.items(), key=lambda item: item[0]))
