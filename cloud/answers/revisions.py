"""Answers: revisions and the differences between them."""

from typing import Any

import msgspec

from cloud.answers.common import ActorAnswer, Answer, ChangeAnswer
from cloud.core.revisions import (
    RevisionAction,
)


class RevisionSummary(Answer):
    """One state of a thing, without its content; `current` if that is what it is now.

    `version` is the one that the thing got by it, empty where it was deleted.
    """

    revision: int
    version: str
    time: str
    actor: ActorAnswer
    reason: str
    action: RevisionAction
    current: bool


class RevisionAnswer(RevisionSummary):
    """One state of a thing; `content` is what a PUT takes, secret values masked.

    null where it was deleted.
    """

    content: dict[str, Any] | None


class DiffAnswer(Answer):
    """The differences between two revisions; `from` 0: none is stored before it.

    `text` is a unified diff of YAML, empty where they are too large to be compared by lines.
    """

    name: str
    from_: int = msgspec.field(name="from")
    to: int
    changes: list[ChangeAnswer]
    text: str
