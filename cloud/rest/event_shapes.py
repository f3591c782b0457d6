"""How events look, as answers, in streams and to callbacks."""

from typing import Any

from cloud.core.audit import ActorKind
from cloud.core.event import NumberedEvent
from cloud.core.times import precise_time_text
from cloud.rest.shapes import Answer
from cloud.rest.views import View


class SubjectAnswer(Answer):
    """What it happened to."""

    kind: str
    name: str


class DoerAnswer(Answer):
    """Who did it."""

    kind: ActorKind
    name: str


class EventAnswer(Answer):
    """Something that happened; `actor` is null where nobody did it."""

    id: str
    time: str
    type: str
    namespace: str
    subject: SubjectAnswer
    actor: DoerAnswer | None
    message: str
    data: dict[str, Any]


def event_view(numbered: NumberedEvent) -> View:
    """The event, as in a list."""
    event = numbered.event
    by = event.actor
    return {
        "id": str(numbered.number),
        "time": precise_time_text(event.time),
        "type": event.type,
        "namespace": event.namespace,
        "subject": {"kind": event.kind, "name": event.name},
        "actor": {"kind": by.kind, "name": by.name} if by else None,
        "message": event.message,
        "data": event.data,
    }
