"""Answers: events."""

from typing import Any

from cloud.answers.common import Answer
from cloud.core.audit import ActorKind


class SubjectAnswer(Answer):
    """The resource of the event."""

    kind: str
    name: str


class DoerAnswer(Answer):
    """Who did it."""

    kind: ActorKind
    name: str


class EventAnswer(Answer):
    """An event; `actor` is null for the server itself.

    `count` is how often, from `firstTime` to `time`, where a node repeated it.
    """

    id: str
    time: str
    type: str
    namespace: str
    subject: SubjectAnswer
    actor: DoerAnswer | None
    message: str
    data: dict[str, Any]
    count: int
    first_time: str
