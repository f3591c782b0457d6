"""Answers: tokens."""

from cloud.answers.common import Answer
from cloud.core.tokens import Role


class TokenAnswer(Answer):
    """A token, without what opens the door."""

    name: str
    namespace: str
    role: Role
    create_time: str
    expires: str | None
    last_used_time: str | None


class NewTokenAnswer(TokenAnswer):
    """A new token, shown this once."""

    token: str
