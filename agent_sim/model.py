"""The nouns of a node: its facts, the apps it holds, what it can ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

Body = Mapping[str, Any]


class Status(StrEnum):
    """How an app goes."""

    PENDING = "Pending"
    RUNNING = "Running"
    FAILED = "Failed"


class BodyKind(StrEnum):
    """The kind of a body, as desire messages name it."""

    APPLICATION = "application"
    CONFIGURATION = "configuration"
    SECRET = "secret"  # noqa: S105  # a kind, not a value


@dataclass(frozen=True, slots=True)
class BodyName:
    """Names one body at one version; an empty *version* stands for whichever is current."""

    kind: BodyKind
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Part:
    """A configuration or secret an app mounts, with its body."""

    info: BodyName
    body: Body


@dataclass(frozen=True, slots=True)
class HeldApp:
    """One app the node has taken over: all its bodies are here, running or not."""

    name: str
    version: str
    body: Body
    parts: tuple[Part, ...] = ()
    status: Status = Status.PENDING
    cause: str = ""
    started: datetime | None = None
    is_system: bool = False
    # How often its instances were started again since this version was applied.
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """CPU in cores and memory in bytes, both as the strings of the protocol."""

    cpu: str
    memory: str


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """Facts that are constant while a node runs; *node* has the protocol's own keys."""

    node: Mapping[str, str] = field(default_factory=dict)
    capacity: NodeUsage = NodeUsage("1", "1073741824")


def time_text(moment: datetime) -> str:
    """Write an aware *moment* as RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
