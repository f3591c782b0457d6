"""Publish certificate revocation lists (RFC 5280): over HTTP, and as a file for brokers."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from certs.authority import Authority
from certs.errors import AuthorityNotValid
from certs.revocation import Revoked
from cloud.core.revocation import RevocationList
from cloud.errors import Unavailable
from cloud.http.routing import CheckedRoute
from cloud.operations.revocation import next_list
from cloud.store.transaction import Store

logger = logging.getLogger(__name__)

RENEWED_AFTER = timedelta(days=1)
"""Age at which a list is signed again although nothing was revoked."""

POLL_EVERY = timedelta(milliseconds=500)
"""Longest time until a revocation by another server is in the file."""

PEM_TYPE = "application/x-pem-file"
DER_TYPE = "application/pkix-crl"


@dataclass(frozen=True, slots=True)
class SignedLists:
    """Lists signed at *made*: *pem* holds one for each authority whose certificates are in use.

    *der* is the list of the authority which issues now.
    """

    changes: int
    made: datetime
    pem: bytes
    der: bytes

    def is_current(self, changes: int, now: datetime) -> bool:
        """Return whether nothing was revoked since and it is young; the clock may go back."""
        return self.changes == changes and timedelta() <= now - self.made < RENEWED_AFTER


class RevocationLists:
    """Owns the published lists; signs new ones after a revocation or when they get old."""

    def __init__(
        self, store: Store, authority: Authority, clock: Callable[[], datetime], file: Path | None
    ) -> None:
        self._store = store
        self._authority = authority
        self._clock = clock
        self._file = file
        # Called once the file is written, with the nodes whose certificates were revoked.
        self.on_written: Callable[[Collection[str]], Awaitable[None]] | None = None
        self._revoked_nodes: set[str] = set()
        self._last: SignedLists | None = None
        self._making = asyncio.Lock()
        self._woken = asyncio.Event()

    def wake(self, node_id: str = "") -> None:
        """Write the file now: certificates were revoked, those of *node_id* if it is given."""
        if node_id and self.on_written is not None:
            self._revoked_nodes.add(node_id)
        self._woken.set()

    async def current(self) -> SignedLists:
        """Lists of all certificates that are revoked now."""
        async with self._making:
            now = self._clock()
            state = await self._store.read(lambda tx: tx.revocation_state())
            if self._last is None or not self._last.is_current(state.changes, now):
                content = await self._store.write(lambda tx: next_list(tx, now=now))
                self._last = await asyncio.to_thread(self._signed, content, now)
            return self._last

    async def run(self) -> None:
        """Keep the file current until cancelled; return at once without a file."""
        if self._file is None:
            return
        written: SignedLists | None = None
        while True:
            self._woken.clear()
            revoked, self._revoked_nodes = self._revoked_nodes, set()
            try:
                lists = await self.current()
                is_new = lists is not written
                if is_new:
                    await asyncio.to_thread(_replace, self._file, lists.pem)
                    written = lists
                if self.on_written is not None and (is_new or revoked):
                    await self.on_written(revoked)
            except (Unavailable, OSError) as error:
                reason = error.reason if isinstance(error, Unavailable) else error
                logger.warning("cannot write %s, trying again: %s", self._file, reason)
                self._revoked_nodes |= revoked
            try:
                async with asyncio.timeout(POLL_EVERY.total_seconds()):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def routes(self) -> list[Route]:
        """`/crl.pem` and `/crl.der`, without authentication: serial numbers are no secret."""

        async def pem(_: Request) -> Response:
            return Response((await self.current()).pem, media_type=PEM_TYPE)

        async def der(_: Request) -> Response:
            return Response((await self.current()).der, media_type=DER_TYPE)

        return [CheckedRoute("/crl.pem", pem), CheckedRoute("/crl.der", der)]

    def _signed(self, content: RevocationList, now: datetime) -> SignedLists:
        revoked = [Revoked(one.serial, one.revoked or now) for one in content.revoked]
        try:
            lists = self._authority.revocation_lists(
                revoked, number=content.number, issued=content.issued, now=now
            )
        except AuthorityNotValid as error:
            raise Unavailable(str(error)) from error
        return SignedLists(
            content.changes,
            now,
            b"".join(one.public_bytes(Encoding.PEM) for one in lists),
            lists[0].public_bytes(Encoding.DER),
        )


def _replace(file: Path, content: bytes) -> None:
    """Replace *file* atomically, readable by brokers."""
    partial = file.with_name(f"{file.name}.new")
    with partial.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    partial.chmod(0o644)
    partial.replace(file)
