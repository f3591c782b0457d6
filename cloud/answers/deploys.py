"""Answers: deploys."""

from cloud.answers.common import Answer
from cloud.core.app import AppVersion
from cloud.core.deploys import DeployOutcome


class DeployAnswer(Answer):
    """One change of what a node should run, and how it ended; times are null until they are."""

    number: int
    apps: list[AppVersion]
    sysapps: list[AppVersion]
    outcome: DeployOutcome
    cause: str
    wanted_time: str
    told_time: str
    acknowledged_time: str | None
    end_time: str | None


class DeploysAnswer(Answer):
    """The deploys of a node, the newest first."""

    total: int
    items: list[DeployAnswer]
