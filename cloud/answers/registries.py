"""Answers: registries."""

from cloud.answers.common import Answer


class RegistryAnswer(Answer):
    """A registry; nothing shows its password."""

    name: str
    namespace: str
    address: str
    username: str
    description: str
    version: str
    create_time: str
    update_time: str
