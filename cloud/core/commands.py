"""Commands to nodes, and their outcomes.

A command has an effect once at most: it is noted as sent before it is sent, it is not sent again,
and what a node answers counts once, before the deadline.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from cloud.core.audit import Actor, clean
from cloud.core.decoding import convert
from cloud.core.names import check_name
from cloud.core.times import time_text
from cloud.errors import Invalid

SECONDS = 30
"""How long an answer is waited for where the caller does not set it."""

SECONDS_LIMIT = 3600
"""The same, at most."""

LINES = 100
"""Lines of a log where the caller does not set it."""

LINES_LIMIT = 1000
"""The same, at most."""

OUTPUT_LIMIT = 64 * 1024
"""Bytes of an output that are stored, as UTF-8: its end."""

SINCE_LIMIT = 7 * 24 * 3600
"""Seconds back that a log can be asked for."""

PART_LIMIT = 2**31 - 1
"""Number of the last part of an answer, at most."""

OUTPUT_END_LIMIT = 999_999_999
"""Characters of a followed output that a caller can leave out."""

OPEN_LIMIT = 10
"""Commands of one node that wait for their end."""

COMMANDS_KEPT = 20
"""Commands of one node that are stored, the newest."""

KEPT_FOR = timedelta(days=7)
"""How long a command and its output are stored."""

WAIT_LIMIT = 60
"""Seconds that a caller can wait for the end of a command in one request."""

ID_LIMIT = 64
"""Characters of the id in an answer; those that the server gives have fewer."""

NOT_THERE = (
    "The command was not sent before the deadline: the node is not connected over MQTT, or does not"
    " listen for commands."
)
NO_ANSWER = "The command was sent and the node did not answer before the deadline."

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_UNPRINTABLE = {code: "\ufffd" for code in (*range(32), *range(0x7F, 0xA0)) if code not in (9, 10)}


class CommandKind(StrEnum):
    """The commands to a node."""

    LOGS = "logs"
    RESTART = "restart"
    REPORT = "report"
    DIAGNOSE = "diagnose"
    UPDATE = "update"


class CommandStatus(StrEnum):
    """How far a command has come; the first two are open, the others are its end."""

    WAITING = "waiting"
    SENT = "sent"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    EXPIRED = "expired"


_OF_NODE = frozenset({CommandKind.REPORT, CommandKind.DIAGNOSE, CommandKind.UPDATE})
OPEN = frozenset({CommandStatus.WAITING, CommandStatus.SENT})
ANSWERS = frozenset({CommandStatus.DONE, CommandStatus.FAILED, CommandStatus.REFUSED})
PARTIAL = "running"
"""The status in a part of a response that is not the last."""


class CommandDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request to a node; checked by `checked_draft`."""

    command: CommandKind
    app: str = ""
    lines: int = 0
    seconds: int = SECONDS
    since_seconds: int = msgspec.field(name="sinceSeconds", default=0)
    follow: bool = False


@dataclass(frozen=True, slots=True)
class NodeResponse:
    """The outcome of a command as the node reports it; still SENT in a part that is not the last.

    *part* counts the parts of an answer from 1; 0 where the answer is in one piece.
    """

    status: CommandStatus
    output: str = ""
    cause: str = ""
    is_cut: bool = False
    part: int = 0
    # Characters sent so far, `output` being their end; 0 where `output` is all of them.
    output_end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command to the node *name*; *app* is empty, *lines* and *since_seconds* 0 if not given.

    *output* is the end of the *output_end* characters that the node has sent in *part* parts.
    """

    id: str
    namespace: str
    name: str
    command: CommandKind
    actor: Actor
    created: datetime
    deadline: datetime
    app: str = ""
    lines: int = 0
    status: CommandStatus = CommandStatus.WAITING
    sent: datetime | None = None
    ended: datetime | None = None
    output: str = ""
    cause: str = ""
    is_cut: bool = False
    since_seconds: int = 0
    is_following: bool = False
    part: int = 0
    output_end: int = 0

    def described(self) -> Mapping[str, Any]:
        """The command as the audit log shows it."""
        return {"command": self.command, "app": self.app, "lines": self.lines}

    @property
    def is_open(self) -> bool:
        """Return whether its end is still to come."""
        return self.status in OPEN

    def at(self, now: datetime) -> "Command":
        """The command as it stands at *now*: an open one expires at its deadline."""
        if not self.is_open or now < self.deadline:
            return self
        cause = NO_ANSWER if self.status is CommandStatus.SENT else NOT_THERE
        return replace(self, status=CommandStatus.EXPIRED, ended=self.deadline, cause=cause)

    def content(self, now: datetime) -> dict[str, Any]:
        """The message to the node at *now* (docs/protocol.md, "Commands")."""
        left = max(1, int((self.deadline - now).total_seconds()))
        content: dict[str, Any] = {
            "id": self.id,
            "command": self.command.value,
            "seconds": left,
            "deadline": time_text(self.deadline),
        }
        if self.app:
            content["app"] = self.app
        if self.lines:
            content["lines"] = self.lines
        if self.since_seconds:
            content["sinceSeconds"] = self.since_seconds
        if self.is_following:
            content["follow"] = True
        return content

    def output_after(self, place: int) -> tuple[str, bool]:
        """The output behind its first *place* characters, and whether some of it is missing."""
        start = self.output_end - len(self.output)
        return self.output[max(0, place - start) :], self.is_cut if not place else place < start

    def with_part(self, answer: NodeResponse) -> NodeResponse | None:
        """*answer* behind what came before; None if its part came before or too late.

        A part that is missing in between marks the output as cut.
        """
        if answer.part <= self.part:
            return None
        output, is_cut = shown_output(self.output + answer.output)
        is_missing = answer.part != self.part + 1
        return replace(
            answer,
            output=output,
            is_cut=self.is_cut or answer.is_cut or is_cut or is_missing,
            output_end=self.output_end + len(answer.output),
        )


def checked_draft(draft: CommandDraft) -> CommandDraft:
    """*draft* with what it leaves out; Invalid names the field that is wrong."""
    kind = draft.command
    if draft.app:
        check_name("app", draft.app)
    if kind is CommandKind.RESTART and not draft.app:
        raise Invalid("app", "which app to restart is missing")
    if kind in _OF_NODE and draft.app:
        raise Invalid("app", f"{kind.value} is about the whole node")
    _check_log_fields(draft)
    if not 1 <= draft.seconds <= SECONDS_LIMIT:
        raise Invalid("seconds", f"is not between 1 and {SECONDS_LIMIT}")
    if kind is CommandKind.LOGS and not draft.lines:
        return msgspec.structs.replace(draft, lines=LINES)
    return draft


def _check_log_fields(draft: CommandDraft) -> None:
    for name, given, limit in (
        ("lines", draft.lines, LINES_LIMIT),
        ("sinceSeconds", draft.since_seconds, SINCE_LIMIT),
        ("follow", int(draft.follow), 1),
    ):
        if given and draft.command is not CommandKind.LOGS:
            raise Invalid(name, "belongs to logs")
        if not 0 <= given <= limit:
            raise Invalid(name, f"is not between 0 and {limit}")


class _AnswerContent(msgspec.Struct):
    id: str
    status: str
    output: str = ""
    cause: str = ""
    cut: bool = False
    part: int = 0


def read_answer(content: Any) -> tuple[str, NodeResponse]:
    """Id of the command and what the node reports came of it; Invalid names the field."""
    answer = convert(content, _AnswerContent, under="content")
    if not 1 <= len(answer.id) <= ID_LIMIT:
        raise Invalid("content.id", f"does not have between 1 and {ID_LIMIT} characters")
    if answer.status not in ANSWERS | {PARTIAL}:
        raise Invalid("content.status", f"is none of {', '.join([PARTIAL, *sorted(ANSWERS)])}")
    is_partial = answer.status == PARTIAL
    if not is_partial <= answer.part <= PART_LIMIT:
        raise Invalid("content.part", f"is not between {int(is_partial)} and {PART_LIMIT}")
    output, is_cut = shown_output(answer.output)
    status = CommandStatus.SENT if is_partial else CommandStatus(answer.status)
    return answer.id, NodeResponse(
        status, output, clean(answer.cause), is_cut or answer.cut, answer.part
    )


def shown_output(text: str) -> tuple[str, bool]:
    """The end of *text* that is stored, and whether anything is missing before it.

    No part of it does anything to a terminal: colours go, other control characters are replaced.
    """
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").translate(_UNPRINTABLE)
    data = text.encode(errors="replace")
    if len(data) <= OUTPUT_LIMIT:
        return data.decode(), False
    return data[-OUTPUT_LIMIT:].decode(errors="ignore"), True
