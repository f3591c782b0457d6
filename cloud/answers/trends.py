"""Answers: trends of a namespace."""

from cloud.answers.common import Answer


class TrendPointAnswer(Answer):
    """Nodes of the namespace in the step that begins at `time`, and reports in the time before."""

    time: str
    nodes: int
    online: int
    converged: int
    reports_per_second: float


class TrendsAnswer(Answer):
    """The trends of a namespace, the oldest first; `step` is seconds between two points.

    A point is missing where no server ran. Of an hour, nodes are means.
    """

    step: int
    items: list[TrendPointAnswer]
