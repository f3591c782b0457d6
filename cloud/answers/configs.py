"""Answers: configs."""

from cloud.answers.common import Answer
from cloud.core.config import ConfigItem


class ConfigSummary(Answer):
    """A config in a list."""

    name: str
    namespace: str
    labels: dict[str, str]
    description: str
    version: str
    create_time: str
    update_time: str


class ConfigAnswer(ConfigSummary):
    """A config; secret keys of object stores are masked."""

    data: tuple[ConfigItem, ...]
