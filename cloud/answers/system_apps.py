"""Answers: system apps of all nodes."""

from cloud.answers.common import Answer
from cloud.core.system_apps import SystemModule


class SystemAppsAnswer(Answer):
    """The parts of an agent that the nodes of a namespace are given."""

    modules: tuple[SystemModule, ...]
    selector: str
    address: str
    host_path: str
    include_native: bool
