"""Answers: plans of dry runs."""

from cloud.answers.common import Answer, ChangeAnswer


class PlanNodesAnswer(Answer):
    """Nodes that would be sent another desired state; `share` is their part of all, from 0 to 1."""

    total: int
    touched: int
    offline: int
    share: float
    names: list[str]


class NodeGainsAnswer(Answer):
    """The apps that a node would run and does not yet, and those that it would stop."""

    name: str
    gained: list[str]
    lost: list[str]


class PlanAppAnswer(Answer):
    """An app that would change on so many nodes; an empty version is not given yet."""

    name: str
    before: str | None
    after: str | None
    nodes: int


class PlannedStageAnswer(Answer):
    """A stage of a rollout, and how many nodes it would have now."""

    name: str
    nodes: int


class PlannedRolloutAnswer(Answer):
    """A rollout that would begin; `first` are some of the nodes that it would reach first."""

    app: str
    policy: str
    stages: list[PlannedStageAnswer]
    first: list[str]


class PlanAnswer(Answer):
    """The effect of a call; nothing was changed. `confirm`: it would have to be confirmed.

    `count` things of the kind would be changed; of nodes, `gains` has the first ten by name that
    gain or lose apps.
    """

    dry_run: bool
    kind: str
    name: str
    action: str
    changes: list[ChangeAnswer]
    nodes: PlanNodesAnswer
    apps: list[PlanAppAnswer]
    bytes: int
    confirm: bool
    rollouts: list[PlannedRolloutAnswer]
    message: str
    count: int
    gains: list[NodeGainsAnswer]
