"""What answers about nodes look like, as types; `shapes` has all others."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from cloud.core.commands import CommandKind, CommandStatus
from cloud.core.core_configuration import LogLevel, Mode
from cloud.core.deploys import DeployOutcome
from cloud.core.desired import AppVersion
from cloud.core.readiness import NodeState
from cloud.core.system_apps import SystemModule
from cloud.rest.shapes import ActorAnswer, Answer

Quantity = str | int | float
"""As the server shows it: cpu in cores, memory in bytes; as it came where it cannot be read."""


class StateAnswer(Answer):
    """How a node stands: `online`, `stale`, `offline` or `never`, and what that is known by.

    `interval` is seconds between its reports; `connected` is null where the server cannot know.
    """

    name: NodeState
    reason: str
    since: str
    last_report: str | None
    last_stats: str | None
    interval: float | None
    connected: bool | None
    revoked: bool


class NodeAnswer(Answer):
    """A node; `ready` says that its state is `online`."""

    name: str
    namespace: str
    description: str
    ready: bool
    state: StateAnswer
    create_time: str
    labels: dict[str, str]
    annotations: dict[str, str]


class HostAnswer(msgspec.Struct, rename="camel", omit_defaults=True):
    """The machine, as its node reports it; several machines are a map by host name."""

    hostname: str = ""
    address: str = ""
    arch: str = ""
    kernel_ver: str = ""
    os: str = ""
    container_runtime: str = ""
    machine_id: str = msgspec.field(name="machineID", default="")
    boot_id: str = msgspec.field(name="bootID", default="")
    system_uuid: str = msgspec.field(name="systemUUID", default="")
    os_image: str = ""


class HostStatsAnswer(msgspec.Struct):
    """What the machine has and uses, `percent` from 0 to 1; several are a map by host name."""

    usage: dict[str, Quantity] = {}
    capacity: dict[str, Quantity] = {}
    percent: dict[str, Any] = {}


class AppStatsAnswer(msgspec.Struct):
    """How an app does on the node; `instances` is a map by instance name.

    `running` is the version that runs where it is not `version`; `failure` says for programs why
    `version` does not: version, reason, message, seconds, and service, exitCode, log where known.
    """

    name: str = ""
    version: str = ""
    status: str = ""
    cause: str = ""
    instances: dict[str, Any] = {}
    running: str | UnsetType = UNSET
    failure: dict[str, Any] | UnsetType = UNSET


class ReportAnswer(msgspec.Struct):
    """The node's last report; what the contract does not name is passed on as it came."""

    time: str
    node: HostAnswer
    nodestats: HostStatsAnswer
    core: dict[str, Any]
    apps: list[Any]
    sysapps: list[Any]
    appstats: list[AppStatsAnswer]
    sysappstats: list[AppStatsAnswer]


class ConditionAnswer(Answer):
    """Something about a node that may want looking at: `True`, `False` or `Unknown`."""

    type: str
    status: str
    skew_seconds: int | None
    message: str


class NodeStatsAnswer(NodeAnswer):
    """A node, what it reported, and what follows from that."""

    report: ReportAnswer
    conditions: list[ConditionAnswer]


class PropertiesState(Answer):
    """What a node says of its properties, and what is wanted of it."""

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
    """Who has the say over a node."""

    mode: Mode


class CoreAnswer(Answer):
    """How the agent of a node works; `version` is empty for the usual one."""

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
    """What a node was told to run, the newest first."""

    total: int
    items: list[DeployAnswer]


class NodeCommandAnswer(Answer):
    """A command to a node; `output` is null in lists and, unless followed, until it has ended.

    `outputEnd` is the number of characters sent so far; `cut` says that some before the output are
    missing. Times are null until they are.
    """

    id: str
    command: CommandKind
    app: str
    lines: int
    since_seconds: int
    follow: bool
    status: CommandStatus
    create_time: str
    deadline: str
    sent_time: str | None
    end_time: str | None
    actor: ActorAnswer
    output: str | None
    output_end: int
    cut: bool
    cause: str


class SystemAppsAnswer(Answer):
    """The parts of an agent that the nodes of a namespace are given."""

    modules: list[SystemModule]
    selector: str
    address: str
    host_path: str
    include_native: bool
