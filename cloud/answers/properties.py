"""Answers: properties of nodes, their mode, and the configuration of their agents."""

from typing import Any

from cloud.answers.common import Answer
from cloud.core.core_configuration import LogLevel, Mode


class PropertiesState(Answer):
    """The reported and the desired properties of a node."""

    report: dict[str, Any]
    desire: dict[str, str]


class PropertiesTimes(Answer):
    """Since when each value is what it is."""

    report: dict[str, str]
    desire: dict[str, str]


class PropertiesAnswer(Answer):
    """Properties of a node."""

    state: PropertiesState
    metadata: PropertiesTimes


class ModeAnswer(Answer):
    """The mode of a node."""

    mode: Mode


class CoreAnswer(Answer):
    """How the agent of a node works; `version` is empty for the default."""

    version: str
    frequency: int
    apiport: int
    agentport: int
    log_level: LogLevel
    byte_unit: str
    speed_limit: int


class CoreVersionsAnswer(Answer):
    """The version of its agent that a node reports, and the one it is to have."""

    versions: list[str]
