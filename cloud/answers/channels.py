"""Answers: channels of notifications."""

import msgspec

from cloud.answers.common import Answer
from cloud.core.channel import ChannelType, SmtpSecurity
from cloud.core.sending import SendState


class ChannelState(Answer):
    """How a channel does: messages that wait or were given up, when one was last sent.

    `lastError` is why the newest message has not been sent; empty: it has.
    """

    pending: int
    given_up: int
    last_sent_time: str | None
    last_error: str


class ChannelSummary(Answer):
    """A channel in a list; `target` is where messages go, without what is secret."""

    name: str
    namespace: str
    type: ChannelType
    target: str
    description: str
    state: ChannelState
    version: str
    create_time: str
    update_time: str


class SentMessage(Answer):
    """A message of a channel: `state` is waiting, sent or givenUp.

    `answer` is the receiver's when it was sent, `error` why the last attempt failed,
    `nextTime` when the next one is due.
    """

    id: str
    title: str
    rule: str
    state: SendState
    create_time: str
    sent_time: str | None
    next_time: str | None
    attempts: int
    answer: str
    error: str


class ChannelAnswer(ChannelSummary):
    """A channel, with its newest messages; secrets are masked."""

    url: str
    secret: str
    smtp_host: str
    smtp_port: int
    smtp_security: SmtpSecurity
    username: str
    password: str
    sender: str = msgspec.field(name="from")
    to: tuple[str, ...]
    deliveries: list[SentMessage]


class ChannelTestAnswer(Answer):
    """The outcome of a test: `ok` is whether the receiver took it; its `response`, or the error."""

    ok: bool
    response: str
