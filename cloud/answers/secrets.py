"""Answers: secrets."""

from msgspec import UNSET, UnsetType

from cloud.answers.common import Answer
from cloud.core.secret_source import SecretSource


class SecretSummary(Answer):
    """A secret in a list: without its values."""

    name: str
    namespace: str
    description: str
    version: str
    create_time: str
    update_time: str


class SourceAnswer(Answer):
    """Whether the sources of a secret can be read; `error` is why not, `since` when that began.

    A new secret is read a few seconds later: until then it is not readable, without an error.
    """

    readable: bool
    error: str
    since: str | None


class SecretAnswer(SecretSummary):
    """A secret, its values too; not those of `dataFrom`, which are read from sources outside."""

    data: dict[str, str]
    data_from: dict[str, SecretSource] | UnsetType = UNSET
    source: SourceAnswer | UnsetType = UNSET
