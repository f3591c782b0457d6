"""Answers: policies of rollouts, and rollouts."""

from cloud.answers.common import Answer
from cloud.core.rollout import AssignmentState, RolloutState
from cloud.core.rollout_policy import (
    AppChoice,
    Approval,
    Approver,
    Budget,
    ConsentRule,
    FailureBound,
    OfflineNodes,
    RolloutStage,
)
from cloud.core.rollout_turns import WaitReason
from cloud.core.rollout_windows import Window


class RolloutPolicyAnswer(Answer):
    """A policy of rollouts."""

    name: str
    namespace: str
    apps: AppChoice
    stages: tuple[RolloutStage, ...]
    budget: Budget
    failure: FailureBound
    deadline: str
    offline: OfflineNodes
    windows: tuple[Window, ...]
    consent: ConsentRule | None
    approver: Approver
    labels: dict[str, str]
    description: str
    version: str
    create_time: str
    update_time: str


class RolloutSummary(Answer):
    """A rollout in a list; `stage` is the name of the present one.

    `base` is the version of nodes that it has not reached, empty for a new app. Times are null
    where there is none.
    """

    name: str
    namespace: str
    app: str
    policy: str
    base: str
    target: str
    state: RolloutState
    stage: str
    cause: str
    actor: str
    emergency: bool
    create_time: str
    update_time: str
    start_time: str | None
    end_time: str | None


class StageStateAnswer(Answer):
    """A stage: `counts` are its nodes by state; nodes that it has not admitted are `waiting`."""

    name: str
    approval: Approval
    approved_by: str | None
    approved_time: str | None
    nodes: int
    counts: dict[AssignmentState, int]


class RolloutWaitAnswer(Answer):
    """A node on which the rollout waits; `until` is when that ends by itself, null for unknown."""

    node: str
    reason: WaitReason
    detail: str
    until: str | None


class RolloutStateAnswer(RolloutSummary):
    """A rollout as it stands: `waits` are the first of `waiting` nodes that it waits for."""

    stages: list[StageStateAnswer]
    nodes: int
    failed: int
    tolerated: int
    waiting: int
    waits: list[RolloutWaitAnswer]


class RolloutNodeAnswer(Answer):
    """A node in a rollout: the version that it should run, and its previous one."""

    node: str
    stage: str
    state: AssignmentState
    version: str
    previous: str
    cause: str
    admitted_time: str | None
    sent_time: str | None
    healthy_time: str | None
    deferred_time: str | None
    reason: str
