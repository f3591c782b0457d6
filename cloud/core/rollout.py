"""A rollout: a version of an app on its way to the nodes, by the stages of a policy.

The version that a node should run of an app follows from the app's newest rollout and the node's
assignment in it, if it has one (`version_for`):

- with an assignment: its `version`;
- without one: the base version, until the rollout is done; then the target version.

An assignment is stored for a node from the moment it is admitted, skipped, or offered the version,
or if an earlier rollout brought it another version than the base; a node without one waits. Once
the rollout is done, a node without one is updated (`is_default`): only exceptional nodes have one.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from cloud.core.rollout_policy import RolloutPolicySpec


class RolloutState(StrEnum):
    """How a rollout stands.

    *failed*: it was ended by an operator after more nodes had failed than its policy allows.
    *aborted*: it was ended before all nodes had the version; each keeps the one it has.
    """

    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING_FOR_APPROVAL = "waitingForApproval"
    ROLLING_BACK = "rollingBack"
    DONE = "done"
    FAILED = "failed"
    ROLLED_BACK = "rolledBack"
    SUPERSEDED = "superseded"
    ABORTED = "aborted"

    @property
    def is_open(self) -> bool:
        """Return whether the rollout goes on, by itself or once an operator acts."""
        return self in _OPEN


_OPEN = {
    RolloutState.SCHEDULED,
    RolloutState.RUNNING,
    RolloutState.PAUSED,
    RolloutState.WAITING_FOR_APPROVAL,
    RolloutState.ROLLING_BACK,
}


class AssignmentState(StrEnum):
    """How a node stands in a rollout.

    *waiting*: it keeps its version, which an earlier rollout brought; that is not the base version,
    or it is not healthy with it.
    *offered*: it has to accept the version, or to wait for its window, and keeps its own until
    then. *admitted*: it should run the version, and was not sent it yet. *sent*: it was, and is not
    healthy for long enough yet. *updated*: it was healthy with it for the soak time. *skipped*: it
    was offline, or its group had no budget left; it keeps its version until the stages are done.
    *returning*: it should run its previous version again; *returned*: it reported that.
    """

    WAITING = "waiting"
    OFFERED = "offered"
    ADMITTED = "admitted"
    SENT = "sent"
    UPDATED = "updated"
    FAILED = "failed"
    SKIPPED = "skipped"
    RETURNING = "returning"
    RETURNED = "returned"


class Assignment(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """The version of an app that one node should run, and how far it has come with that.

    *version* is empty where the node should not run the app; *previous* is the one that it had
    before it was admitted, empty for none: what a rollback brings back. *stage* is the index of its
    stage. *admitted* is when *version* became what it is, *sent* when the node was first sent it:
    only reports received after that count. *healthy* is since when all such reports were good,
    *restarts* how often its instances had been restarted then. *cause* is why it failed or was
    skipped.

    Consent: *offered* is when the node was first offered the version, *accepted* whether it agreed,
    *deferred* until when it asked to wait, for *reason*.
    """

    node: str
    app: str
    version: str
    previous: str
    state: AssignmentState
    stage: int = 0
    admitted: datetime | None = None
    sent: datetime | None = None
    healthy: datetime | None = None
    restarts: int = 0
    cause: str = ""
    offered: datetime | None = None
    accepted: bool = False
    deferred: datetime | None = None
    reason: str = ""

    @property
    def is_unavailable(self) -> bool:
        """Return whether the node may not work because of a rollout: it takes from the budget.

        So it does from its admission until a report shows it healthy.
        """
        if self.state is AssignmentState.WAITING:
            return self.sent is not None and self.healthy is None
        return self.state in _IN_CHANGE and self.healthy is None

    @property
    def has_target(self) -> bool:
        """Return whether the node got, or should get, the version that is rolled out."""
        return self.state in _WITH_TARGET


_IN_CHANGE = {
    AssignmentState.ADMITTED,
    AssignmentState.SENT,
    AssignmentState.FAILED,
    AssignmentState.RETURNING,
}
_WITH_TARGET = {
    AssignmentState.ADMITTED,
    AssignmentState.SENT,
    AssignmentState.UPDATED,
    AssignmentState.FAILED,
}


class StageApproval(msgspec.Struct, frozen=True):
    """Who let the stage of that index begin, and when."""

    stage: int
    actor: str
    time: datetime


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One rollout of the app *app* to *target*; *base* is the version that was rolled out before.

    Both are versions of the app, *base* is empty for a new app. *policy* names the policy, *rules*
    are those it had when the rollout began. *stage* is the index of the present stage in
    `rules.all_stages`, *stage_since* when it became that. *starts* is the time at which it was
    scheduled to start. *is_emergency*: without soak and windows. *accepted_failures* are failures
    that an operator accepted by going on. *actor* is who made the change, *cause* why it is paused,
    goes back or has ended. *has_failed*: more nodes failed than the policy allows. *revision* is
    counted with each change.
    """

    namespace: str
    name: str
    app: str
    policy: str
    rules: RolloutPolicySpec
    base: str
    target: str
    state: RolloutState
    created: datetime
    updated: datetime
    actor: str = ""
    stage: int = 0
    stage_since: datetime | None = None
    starts: datetime | None = None
    ended: datetime | None = None
    is_emergency: bool = False
    has_failed: bool = False
    approvals: tuple[StageApproval, ...] = ()
    accepted_failures: int = 0
    cause: str = ""
    revision: int = 0

    @property
    def tag_state(self) -> object:
        """Counted with each change."""
        return [self.name, self.revision]

    def described(self) -> Mapping[str, Any]:
        """The rollout as the audit log shows it, without the rules of its policy."""
        content: dict[str, Any] = msgspec.to_builtins(self)
        return {key: value for key, value in content.items() if key not in {"rules", "revision"}}

    @property
    def default_version(self) -> str:
        """The version of nodes without an assignment; empty where those do not run the app."""
        return self.target if self.state is RolloutState.DONE else self.base


def rollout_name(app: str, version: str) -> str:
    """Name of the rollout of *version* of *app*."""
    return f"{app}.{version}"


def version_for(rollout: Rollout, assignment: Assignment | None) -> str:
    """The version of the app that a node with this *assignment* should run; empty for none.

    *rollout* is the newest one of the app.
    """
    return rollout.default_version if assignment is None else assignment.version


def is_default(rollout: Rollout, assignment: Assignment) -> bool:
    """Return whether a node without an assignment stands as one with this *assignment*."""
    return rollout.state is RolloutState.DONE and assignment.state is AssignmentState.UPDATED


def default_assignment(rollout: Rollout, node: str, stage: int) -> Assignment:
    """How a node of that *stage* without an assignment stands: it waits until *rollout* is done."""
    is_done = rollout.state is RolloutState.DONE
    return Assignment(
        node,
        rollout.app,
        rollout.default_version,
        rollout.base,
        AssignmentState.UPDATED if is_done else AssignmentState.WAITING,
        stage,
    )


@lru_cache(maxsize=32_768)
def order_key(node_id: str) -> bytes:
    """Where a node stands in the order of every rollout: random over the fleet, always the same."""
    return blake2b(node_id.encode(), digest_size=8).digest()
