"""Messages of the server to nodes, each with the server's time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.messages import (
    NAME,
    REQUEST_ID,
    RUN,
    SEQUENCE,
    SYNC,
    WARNING,
    Message,
    MetaValue,
    NodeMessageKind,
)
from cloud.core.commands import Command
from cloud.core.delta import Delta
from cloud.core.times import time_text
from cloud.errors import CloudError

_ECHOED = (SEQUENCE, RUN, REQUEST_ID, SYNC)
_REPORT = NodeMessageKind.REPORT.value

Meta = Mapping[str, MetaValue]


def pushed_delta(delta: Delta, now: datetime) -> Message:
    """A delta that is not the response to a report."""
    return report_answer(delta, "", now, meta={})


def report_answer(delta: Delta, warning: str, now: datetime, *, meta: Meta) -> Message:
    """The answer to the report with *meta*; *warning* names what the server does not know."""
    own = _meta(meta, now)
    if warning:
        own[WARNING] = warning
    return Message(_REPORT, dict(delta), own)


def same_answer(answer: Message, now: datetime, *, meta: Meta) -> Message:
    """The *answer* to a report once more, for another report, with *meta*."""
    own = _meta(meta, now)
    if WARNING in answer.meta:
        own[WARNING] = answer.meta[WARNING]
    return Message(answer.kind, answer.content, own)


def desire_answer(values: Mapping[str, Any], now: datetime, *, meta: Meta) -> Message:
    """The answer to the desire request with *meta*."""
    return Message(NodeMessageKind.DESIRE.value, dict(values), _meta(meta, now))


def renewal_answer(content: Mapping[str, Any], now: datetime, *, meta: Meta) -> Message:
    """The answer to the renew message with *meta*."""
    return Message(NodeMessageKind.RENEW.value, dict(content), _meta(meta, now))


def command_message(command: Command, now: datetime) -> Message:
    """The kind of a request to a node."""
    return Message(NodeMessageKind.COMMAND.value, command.content(now), _meta({}, now))


def error_message(code: str, text: str, now: datetime, *, meta: Meta) -> Message:
    """The error message for the message that had *meta*.

    The node's `name` goes back where it was sent: stock agents look for it in the text.
    """
    name = {NAME: meta[NAME]} if NAME in meta else {}
    return Message(NodeMessageKind.ERROR.value, text, {"code": code, **name, **_meta(meta, now)})


def error_for(error: CloudError, now: datetime, *, meta: Meta) -> Message:
    """As `error_message`, for an error of the server's own tree."""
    return error_message(error.code, str(error), now, meta=meta)


def _meta(asked: Meta, now: datetime) -> dict[str, MetaValue]:
    own = {key: asked[key] for key in _ECHOED if key in asked}
    own["time"] = time_text(now)
    return own
