"""Parts of answers that several nouns make; the types are in `cloud.answers`."""

from datetime import datetime
from typing import cast

from cloud.answers.common import (
    ActorAnswer,
    AppSummary,
    DoneAnswer,
)
from cloud.core.app import App
from cloud.core.audit import Actor, ActorKind
from cloud.core.times import time_text

DONE = DoneAnswer(success=True)
"""Answer of a handler that has nothing to show."""


def app_summary(app: App) -> AppSummary:
    """An app in a list: all but what it consists of."""
    return AppSummary(
        name=app.name,
        namespace=app.namespace,
        selector=app.spec.selector,
        labels=app.spec.labels,
        description=app.spec.description,
        version=app.version,
        type=app.spec.type,
        create_time=time_text(app.created),
        update_time=time_text(app.updated),
    )


def actor_answer(actor: Actor) -> ActorAnswer:
    """The answer for an *actor*."""
    # What a later version wrote may be of another kind, and is shown all the same.
    return ActorAnswer(cast(ActorKind, actor.kind), actor.name, actor.namespace)


def time_or_none(moment: datetime | None) -> str | None:
    """*moment* as answers show it; None where there is none."""
    return None if moment is None else time_text(moment)
