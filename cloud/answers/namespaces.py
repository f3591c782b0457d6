"""Answers: namespaces."""

from cloud.answers.common import Answer
from cloud.answers.overview import NodeCounts


class NamespaceAnswer(Answer):
    """A namespace and how much there is in it."""

    name: str
    nodes: NodeCounts
    apps: int
    batches: int
