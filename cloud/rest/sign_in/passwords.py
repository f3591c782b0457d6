"""Passwords of local users: hashed and checked by argon2id, a few at the same time."""

import asyncio
import functools
import secrets
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from cloud.core.audit import Actor
from cloud.rest.places import Places

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MEMORY_KIB, TIME_COST, LANES = 46 * 1024, 1, 1
"""The cost of a hash, as OWASP's Password Storage Cheat Sheet recommends for argon2id."""

AT_ONCE = 2
"""Hashes computed at the same time: each takes 46 MiB and the time of a processor."""

WAITING_LIMIT, WAITING_OF_ONE = 32, 8
"""Hashes that are computed or waited for, in all and for one caller."""


class Passwords:
    """Bounds how many are hashed; a check takes as long for a user that does not exist."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB) -> None:
        self._memory_kib = memory_kib
        self._places = asyncio.Semaphore(AT_ONCE)
        # Those that are set have places of their own, which sign-ins cannot take.
        self._checked, self._set = (
            Places(WAITING_LIMIT, WAITING_OF_ONE, retry=2.0, bound="password_checks")
            for _ in range(2)
        )

    async def hashed(self, password: str, caller: Actor) -> str:
        """The hash of *password*; TooManyRequests if too many are waited for."""
        return await self._in_turn(password, None, self._set.place(caller))

    async def is_right(self, hashed: str | None, password: str, caller: Actor) -> bool:
        """Return whether *hashed* is of *password*; None is of no password.

        TooManyRequests if too many are waited for.
        """
        found = await self._in_turn(
            password, hashed or self._of_no_password, self._checked.place(caller)
        )
        return bool(found) and bool(hashed)

    async def _in_turn(
        self, password: str, hashed: str | None, place: AbstractContextManager[None]
    ) -> str:
        with place:
            async with self._places:
                return await asyncio.to_thread(self._work, password, hashed)

    def _work(self, password: str, hashed: str | None) -> str:
        """The hash of *password*; with *hashed* that one if it is right, else nothing."""
        from argon2.exceptions import InvalidHashError, VerificationError

        if hashed is None:
            return self._hasher.hash(password)
        try:
            self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return ""
        return hashed

    @functools.cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher  # a library of C, which few starts need

        return PasswordHasher(time_cost=TIME_COST, memory_cost=self._memory_kib, parallelism=LANES)

    @functools.cached_property
    def _of_no_password(self) -> str:
        """A hash of the same cost, of a random text."""
        return self._hasher.hash(secrets.token_urlsafe(32))
