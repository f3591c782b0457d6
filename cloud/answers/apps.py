"""Answers: apps."""

from msgspec import UNSET, UnsetType

from cloud.answers.common import Answer, AppSummary
from cloud.core.app import Service, Volume
from cloud.core.workload import AppMode, JobConfig, Workload


class AppRegistry(Answer):
    """A registry an app names."""

    name: str
    version: str


class AppAnswer(AppSummary):
    """An app; what follows the registries is there where it was given.

    `select` is the selector again, as the page calls it in one place.
    """

    select: str
    services: tuple[Service, ...]
    volumes: tuple[Volume, ...]
    registries: list[AppRegistry]
    mode: AppMode | UnsetType = UNSET
    init_services: tuple[Service, ...] | UnsetType = UNSET
    replica: int | UnsetType = UNSET
    workload: Workload | UnsetType = UNSET
    job_config: JobConfig | UnsetType = UNSET
    host_network: bool | UnsetType = UNSET
    min_ready_seconds: int | UnsetType = UNSET
    progress_deadline_seconds: int | UnsetType = UNSET
