"""What answers about revisions look like; see `shapes`."""

from typing import Any

import msgspec

from cloud.core.revisions import RevisionAction
from cloud.rest.shapes import ActorAnswer, Answer


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


class ChangeAnswer(Answer):
    """What differs at one place; null where there was, or is, nothing.

    A value of more than 4 kB is shown by its size and SHA-256 only, one that is secret masked.
    """

    path: str
    before: Any
    after: Any


class DiffAnswer(Answer):
    """What differs between two revisions; `from` 0: none is kept before it.

    `text` is a unified diff of YAML, empty where they are too large to be compared by lines.
    """

    name: str
    from_: int = msgspec.field(name="from")
    to: int
    changes: list[ChangeAnswer]
    text: str
