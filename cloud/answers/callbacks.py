"""Answers: callbacks."""

from cloud.answers.common import Answer
from cloud.core.callback import Method


class CallbackState(Answer):
    """How a callback did: deliveries that wait or were given up, and what came of it last."""

    pending: int
    given_up: int
    last_success_time: str | None
    last_error: str
    last_error_time: str | None


class CallbackSummary(Answer):
    """A callback in a list: without where it leads."""

    name: str
    namespace: str
    description: str
    state: CallbackState
    create_time: str
    update_time: str


class DeadLetter(Answer):
    """A failed delivery of a callback; `id` is the `webhook-id` it was sent with."""

    id: str
    create_time: str
    attempts: int
    error: str
    content: str


class CallbackDetail(CallbackState):
    """How a callback did, with its newest failed deliveries."""

    dead_letters: list[DeadLetter]


class CallbackAnswer(Answer):
    """A callback; its secret is masked."""

    name: str
    namespace: str
    description: str
    state: CallbackDetail
    create_time: str
    update_time: str
    url: str
    method: Method
    params: dict[str, str]
    header: dict[str, str]
    body: dict[str, str]
    secret: str
    events: tuple[str, ...]
