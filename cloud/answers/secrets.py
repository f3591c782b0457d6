"""Answers: secrets."""

from cloud.answers.common import Answer


class SecretSummary(Answer):
    """A secret in a list: without its values."""

    name: str
    namespace: str
    description: str
    version: str
    create_time: str
    update_time: str


class SecretAnswer(SecretSummary):
    """A secret, its values too."""

    data: dict[str, str]
