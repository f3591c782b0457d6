"""Answers: users that the server itself keeps."""

from cloud.answers.common import Answer


class UserAnswer(Answer):
    """A user, without what proves who it is; `grants` are the roles in each namespace."""

    name: str
    grants: dict[str, str]
    disabled: bool
    second_factor: bool
    create_time: str
    update_time: str


class SecondFactorAnswer(Answer):
    """The secret of a second factor, shown this once, and the address that apps read as a code."""

    secret: str
    uri: str
