"""Answers: nodes and what they report."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from cloud.answers.common import Answer
from cloud.core.encryption_key import SecretDelivery
from cloud.core.readiness import NodeState

Quantity = str | int | float
"""As the server shows it: cpu in cores, memory in bytes; as it came where it cannot be read."""


class StateAnswer(Answer):
    """How a node stands: `online`, `stale`, `offline` or `never`, and what that is known by.

    `interval` is seconds between its reports; `connected` is null where the server cannot know.
    `secrets` reach it sealed, in plain text inside TLS, or are withheld.
    """

    name: NodeState
    reason: str
    since: str
    last_report: str | None
    last_stats: str | None
    interval: float | None
    connected: bool | None
    revoked: bool
    secrets: SecretDelivery = SecretDelivery.PLAIN


class NodeAnswer(Answer):
    """A node; `ready`: its state is `online`."""

    name: str
    namespace: str
    description: str
    ready: bool
    state: StateAnswer
    create_time: str
    labels: dict[str, str]
    annotations: dict[str, str]


class NodeAppCounts(Answer):
    """Of the `wanted` apps of a node: how many are `running` as wanted, how many have `failed`."""

    wanted: int
    running: int
    failed: int


class NodeUsageAnswer(Answer):
    """The last usage point of a node: cpu in cores, memory in bytes, `percent` from 0 to 1.

    There is one for each step (by default 5 minutes); null is what the node does not report.
    """

    cpu: float | None
    memory: int | None
    cpu_percent: float | None
    memory_percent: float | None


class NodeStatusAnswer(Answer):
    """What a list shows of a node with `include=status`; empty is what it has not reported."""

    deploy: str
    apps: NodeAppCounts
    agent: str
    address: str
    os: str
    arch: str
    usage: NodeUsageAnswer


class NodeItem(NodeAnswer):
    """A node in a list."""

    status: NodeStatusAnswer | UnsetType = UNSET


class LabelledNodesAnswer(Answer):
    """How many nodes were selected, and how many of them have other labels now."""

    selected: int
    changed: int


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
    """The machine's resources and usage, `percent` from 0 to 1; several are a map by host name."""

    usage: dict[str, Quantity] = {}
    capacity: dict[str, Quantity] = {}
    percent: dict[str, Any] = {}


class AppStatsAnswer(msgspec.Struct):
    """How an app does on the node; `instances` is a map by instance name.

    `running` is the version that runs where it is not `version`; `failure` is a code for why
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
