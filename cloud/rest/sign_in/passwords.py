"""Passwords of local users: hashed and checked by argon2id, a few at the same time."""

import asyncio
import functools
from typing import TYPE_CHECKING

from cloud.errors import TooManyRequests

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MEMORY_KIB, TIME_COST, LANES = 46 * 1024, 1, 1
"""The cost of a hash, as OWASP's Password Storage Cheat Sheet recommends for argon2id."""

AT_ONCE = 2
"""Hashes computed at the same time: each takes 46 MiB and the time of a processor."""

WAITING_LIMIT = 32
"""Hashes that are computed or waited for."""

BOUND = "password_checks"

_RETRY_SECONDS = 2.0


class Passwords:
    """Owns the places; a check takes as long for a user that is not there."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB) -> None:
        self._memory_kib = memory_kib
        self._places = asyncio.Semaphore(AT_ONCE)
        # How many hold a place or wait for one.
        self._open = 0

    async def hashed(self, password: str) -> str:
        """The hash of *password*; TooManyRequests if too many are waited for."""
        return await self._in_turn(password, None)

    async def is_right(self, hashed: str | None, password: str) -> bool:
        """Return whether *hashed* is of *password*; None is of no password.

        TooManyRequests if too many are waited for.
        """
        return bool(await self._in_turn(password, hashed or self._of_no_password)) and bool(hashed)

    async def _in_turn(self, password: str, hashed: str | None) -> str:
        if self._open >= WAITING_LIMIT:
            raise TooManyRequests(_RETRY_SECONDS, bound=BOUND)
        self._open += 1
        try:
            async with self._places:
                return await asyncio.to_thread(self._work, password, hashed)
        finally:
            self._open -= 1

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
        import secrets

        return self._hasher.hash(secrets.token_urlsafe(32))
