"""The store for one call: its changes include an entry in the audit log."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from starlette.requests import Request

from cloud.core.audit import Action, Attempt, is_look, kind_of
from cloud.core.kinds import KINDS
from cloud.core.revisions import REVISIONS_KEPT
from cloud.errors import ConfirmationRequired, Forbidden
from cloud.http.requests import address_of, request_id
from cloud.operations.audit import carry_out
from cloud.operations.node_scope import NodeScope
from cloud.operations.plans import dry_run
from cloud.operations.rollout_begin import AT_ONCE, RolloutOrder
from cloud.rest.auth import caller_of
from cloud.store.transaction import Store, Transaction

T = TypeVar("T")

REASON_HEADER = "X-Edgesync-Reason"
"""The reason for a change, in free text; it stands in the audit log."""


@dataclass(frozen=True, slots=True)
class AuditedStore:
    """A `Store` for one call: every change is an entry, in one transaction, or a defect.

    So is a look, where the route is one that shows secrets. *attempt* None: a route that changes
    nothing and shows none. Of what has revisions the newest *revisions_kept* are stored.

    With *is_dry_run* nothing is changed: `write` raises DryRunComplete. *is_confirmed*: the caller
    knows how many nodes a change touches. Rollouts that begin with one follow the *order*. With a
    *scope* all of it is about its node alone. Who *is_limited* to some nodes does not learn how
    many there are.
    """

    store: Store
    attempt: Attempt | None
    revisions_kept: int = REVISIONS_KEPT
    is_dry_run: bool = False
    is_confirmed: bool = False
    order: RolloutOrder = AT_ONCE
    scope: NodeScope | None = None
    is_limited: bool = False

    def write(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """As in `Store`."""
        attempt = self.attempt
        if attempt is None:
            raise RuntimeError("a route that changes something is no action of the audit log")
        work = self._scoped(work)
        if self.is_dry_run and self.is_limited:
            raise Forbidden("a role for some nodes has no dry runs: they count all nodes")
        if self.is_dry_run:
            return self.store.write(lambda tx: dry_run(tx, attempt, work))
        done = self.store.write(
            lambda tx: carry_out(
                tx,
                attempt,
                work,
                revisions_kept=self.revisions_kept,
                is_confirmed=self.is_confirmed,
                order=self.order,
            )
        )
        return _without_total(done) if self.is_limited else done

    def write_concurrent(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """As `write`: the log is one chain."""
        return self.write(work)

    def read(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """As in `Store`."""
        if self.attempt is not None and is_look(self.attempt.action):
            return self.write(work)
        return self.store.read(self._scoped(work))

    def read_short(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """As in `Store`."""
        if self.attempt is not None and is_look(self.attempt.action):
            return self.write(work)
        return self.store.read_short(self._scoped(work))

    def peek(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """As in `Store.read`, for a look that the caller is shown nothing of."""
        return self.store.read(self._scoped(work))

    def _scoped(self, work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        return self.scope.around(work) if self.scope else work


async def _without_total(done: Awaitable[T]) -> T:
    try:
        return await done
    except ConfirmationRequired as error:
        raise error.without_total() from None


def attempt_of(request: Request, action: str, namespace: str, now: datetime) -> Attempt:
    """The attempted action; the name of the resource if the path has one."""
    reason = request.headers.get(REASON_HEADER, "").encode("latin-1")
    path = f"{request.method} {request.url.path}"
    kind = KINDS.logged_as(kind_of(action))
    single = kind.logged_as if kind and kind.is_single else ""
    named = "/".join(request.path_params.values()) or single
    return Attempt(
        caller_of(request).actor,
        action,
        now,
        namespace,
        path if action == Action.API_READ else named,
        address_of(request.scope),
        request_id(request),
        reason.decode(errors="replace"),
    )
