"""Answers: roles."""

from cloud.answers.common import Answer


class RoleAnswer(Answer):
    """A role of a namespace; `permissions` are `VERB KIND` or `VERB KIND/NAME`."""

    name: str
    namespace: str
    permissions: tuple[str, ...]
    description: str
    version: str
    create_time: str
    update_time: str
