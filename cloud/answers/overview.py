"""Answers: overview of a namespace, progress of an app, usage of a node."""

from cloud.answers.app_nodes import CauseCountAnswer
from cloud.answers.common import Answer


class NodeCounts(Answer):
    """Nodes by state; `total` is all of them."""

    total: int
    online: int
    stale: int
    offline: int
    never: int


class VersionCount(Answer):
    """How many nodes report this version of an app."""

    version: str
    nodes: int


class AppProgress(Answer):
    """An app as it is wanted now: for how many nodes, and what those last reported.

    `versions` counts all nodes that report the app, by what they report.
    """

    name: str
    version: str
    selected: int
    running: int
    failed: int
    pending: int
    versions: list[VersionCount]


class FailureAnswer(Answer):
    """A node that failed with the wanted version, and its reason."""

    node: str
    cause: str


class RolloutAnswer(AppProgress):
    """How far an app has come; `offline` counts nodes that do not run it and are not there.

    `failures` has the first five nodes by name that failed, `causes` counts all by their cause.
    """

    offline: int
    failures: list[FailureAnswer]
    causes: list[CauseCountAnswer]


class LastChange(Answer):
    """The app whose version changed last, and how far that has come."""

    app: str
    version: str
    time: str
    selected: int
    converged: int
    failed: int
    pending: int


class ActivationCounts(Answer):
    """Devices that activated in the last day, and hour."""

    day: int
    hour: int


class CertificateCounts(Answer):
    """Nodes whose last certificate has ended, and those where it ends within so long from now."""

    ended: int
    day: int
    week: int
    month: int


class RefusedCount(Answer):
    """How many devices a batch refused in the last day that were not activated since."""

    batch: str
    devices: int


class OverviewAnswer(Answer):
    """A namespace at a glance: of its apps the 20 that changed last, the newest first.

    `waiting` is nodes with pending updates, `deliveries` calls of callbacks to be made; `refused`
    has the five batches that refused most devices.
    """

    nodes: NodeCounts
    apps: list[AppProgress]
    last_change: LastChange | None
    activations: ActivationCounts
    certificates: CertificateCounts
    waiting: int
    deliveries: int
    refused: list[RefusedCount]


class UsagePointAnswer(Answer):
    """The usage of a node at a time: cpu in cores, memory in bytes, `percent` of it from 0 to 1."""

    time: str
    cpu: float | None
    memory: int | None
    cpu_percent: float | None
    memory_percent: float | None


class UsageAnswer(Answer):
    """The last day of a node, the oldest first; `step` is seconds, 0 where none is stored."""

    step: int
    items: list[UsagePointAnswer]
