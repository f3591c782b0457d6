"""Answers: commands to nodes."""

from cloud.answers.common import ActorAnswer, Answer
from cloud.core.commands import (
    CommandKind,
    CommandStatus,
)


class NodeCommandAnswer(Answer):
    """A command to a node; `output` is null in lists and, unless followed, until it has ended.

    `outputEnd` is the number of characters sent so far; `cut`: some before the output are
    missing. Times are null until they are.
    """

    id: str
    command: CommandKind
    app: str
    lines: int
    since_seconds: int
    follow: bool
    status: CommandStatus
    create_time: str
    deadline: str
    sent_time: str | None
    end_time: str | None
    actor: ActorAnswer
    output: str | None
    output_end: int
    cut: bool
    cause: str
