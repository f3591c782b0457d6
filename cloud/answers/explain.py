"""Answers: why a node has not converged."""

from cloud.answers.common import Answer
from cloud.answers.nodes import StateAnswer
from cloud.core.explain import AppOutcome, Reason


class ExplainedAppAnswer(Answer):
    """An app on a node: how it stands, and why; versions and times are null where there are none.

    `reported` is the version that the node has taken over; `running` is another one where it took
    that back. `reportedTime` is when the node named the app last. `rollout` is what the node waits
    for before it gets the version that is rolled out.
    """

    name: str
    system: bool
    wanted: str | None
    reported: str | None
    running: str | None
    status: str
    cause: str
    outcome: AppOutcome
    wanted_time: str | None
    told_time: str | None
    acknowledged_time: str | None
    reported_time: str | None
    reason: Reason
    message: str
    rollout: str


class ExplanationAnswer(Answer):
    """Why a node is where it is; `converged`: it runs all that is wanted and nothing else."""

    name: str
    namespace: str
    state: StateAnswer
    converged: bool
    message: str
    apps: list[ExplainedAppAnswer]
