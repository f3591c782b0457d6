"""Answers: tokens."""

from cloud.answers.common import Answer


class TokenAnswer(Answer):
    """A token, without its secret.

    `permissions` are what its role is narrowed to, `nodes` selects the nodes that it is for;
    empty where there are none. The secret from before the last rotation is valid until
    `previousExpires`.
    """

    name: str
    namespace: str
    role: str
    create_time: str
    expires: str | None
    last_used_time: str | None
    permissions: list[str]
    nodes: str
    previous_expires: str | None


class NewTokenAnswer(TokenAnswer):
    """A new token, shown this once."""

    token: str
