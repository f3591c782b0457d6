"""Answers: the guard of a namespace."""

from cloud.answers.common import Answer


class GuardAnswer(Answer):
    """Changes of more than `maxShare` of all nodes, and of `minNodes` or more, are confirmed."""

    max_share: float
    min_nodes: int
