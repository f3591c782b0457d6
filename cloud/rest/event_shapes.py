"""How events look, as answers; `core.event` makes them."""

from typing import Any

from cloud.core.audit import ActorKind
from cloud.rest.shapes import Answer


class SubjectAnswer(Answer):
    """What it happened to."""

    kind: str
    name: str


class DoerAnswer(Answer):
    """Who did it."""

    kind: ActorKind
    name: str


class EventAnswer(Answer):
    """Something that happened; `actor` is null where nobody did it.

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
