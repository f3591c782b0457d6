"""What kinds with types have in common: dry runs, revisions, the apps that use a resource."""

from typing import TYPE_CHECKING, TypeVar

from cloud.answers.common import AppSummary
from cloud.answers.plans import PlanAnswer
from cloud.answers.revisions import DiffAnswer, RevisionAnswer, RevisionSummary
from edgesync.client.calls import Json, given
from edgesync.client.engines import BlockingEngine
from edgesync.client.methods import ApiIterator, ApiMethod
from edgesync.client.resources import (
    LOOK_EVERY_SECONDS,
    KindPart,
    KindResources,
)
from edgesync.client.steps import Items, Steps
from edgesync.client.typed import as_a
from edgesync.client.waiting import users_converged

if TYPE_CHECKING:
    from edgesync.client.async_engine import AsyncEngine

E = TypeVar("E", bound="BlockingEngine | AsyncEngine")
S = TypeVar("S")
O = TypeVar("O")  # noqa: E741  # one
I = TypeVar("I")  # noqa: E741  # item

WAIT_SECONDS = 120.0
"""How long waits take by default."""

_DRY_RUN = {"dryRun": "true"}


class DryRuns(KindPart[E, S, O, I]):
    """The plans of changes: what would change, and on which nodes; nothing is changed."""

    @ApiMethod
    def create(self, name: str, spec: S | Json) -> Steps[PlanAnswer]:
        """The plan of `create`."""
        body = {**self._body(spec), "name": name}
        return (yield from self._plan("POST", self._collection, body))

    @ApiMethod
    def put(self, name: str, spec: S | O | Json) -> Steps[PlanAnswer]:
        """The plan of `put`."""
        return (yield from self._plan("PUT", self._path(name), self._body(spec)))

    @ApiMethod
    def patch(self, name: str, changes: Json) -> Steps[PlanAnswer]:
        """The plan of `patch`."""
        return (yield from self._plan("PATCH", self._path(name), changes))

    @ApiMethod
    def delete(self, name: str) -> Steps[PlanAnswer]:
        """The plan of `delete`."""
        return (yield from self._plan("DELETE", self._path(name), None))

    def _plan(self, method: str, path: str, body: Json | None) -> Steps[PlanAnswer]:
        content = yield from self._calls.json(method, path, body=body, query=_DRY_RUN)
        return as_a(PlanAnswer)(content)


class TypedResources(KindResources[E, S, O, I]):
    """The resources of a kind with types, and the dry runs of their changes."""

    @property
    def dry_run(self) -> DryRuns[E, S, O, I]:
        """The same changes as plans."""
        return DryRuns(self._engine, self._calls, self.kind, self._forms, self._parent)


class RevisionedResources(TypedResources[E, S, O, I]):
    """The resources of a kind whose earlier states are stored."""

    @ApiIterator
    def revisions(self, name: str) -> Items[RevisionSummary]:
        """The stored states, the newest first."""
        return self._calls.listed(self._path(name, "revisions"), {}, as_a(RevisionSummary))

    @ApiMethod
    def revision(self, name: str, number: int) -> Steps[RevisionAnswer]:
        """One stored state with its content; secret values are masked."""
        path = self._path(name, "revisions", str(number))
        return as_a(RevisionAnswer)((yield from self._calls.json("GET", path)))

    @ApiMethod
    def diff(
        self, name: str, *, from_: int | None = None, to: int | None = None
    ) -> Steps[DiffAnswer]:
        """What changed between two states; by default by the last change."""
        query = {**given(to=to), **({} if from_ is None else {"from": str(from_)})}
        path = self._path(name, "diff")
        return as_a(DiffAnswer)((yield from self._calls.json("GET", path, query=query)))

    @ApiMethod
    def undo(self, name: str, *, revision: int = 0) -> Steps[O]:
        """Make an earlier state the newest, also of what was deleted; 0: the one before."""
        path, body = self._path(name, "undo"), {"revision": revision}
        return (yield from self._one("POST", path, body=body)).value


class UsedResources(RevisionedResources[E, S, O, I]):
    """The resources of a kind that apps use."""

    @ApiIterator
    def apps(self, name: str) -> Items[AppSummary]:
        """The apps that use it."""
        return self._calls.listed(self._path(name, "apps"), {}, as_a(AppSummary))

    @ApiMethod
    def wait(
        self, name: str, *, timeout: float = WAIT_SECONDS, every: float = LOOK_EVERY_SECONDS
    ) -> Steps[None]:
        """Wait until all apps that use it have converged; errors as of `apps.wait`."""
        path = self._path(name, "apps")
        yield from users_converged(self._calls, path, timeout=timeout, every=every)
