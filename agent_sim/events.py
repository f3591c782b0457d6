"""Events and actions of a node; `device` decides when."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from agent_sim.model import HeldApp, NodeUsage
from agent_sim.wire import NodeMessage
from broker.topics import Channel


class Timer(StrEnum):
    """The timers of a node."""

    REPORT = "report"
    ANSWER = "answer"
    STATS = "stats"
    REQUEST = "request"
    # A version that is wanted may be applied.
    OFFER = "offer"


@dataclass(frozen=True, slots=True)
class Started:
    """The node's process is up; its state is what was last saved."""


@dataclass(frozen=True, slots=True)
class Connected:
    """There is a connection, and the server has granted both subscriptions."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone, and with it all that was under way."""


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message of the server has arrived."""

    channel: Channel
    message: NodeMessage


@dataclass(frozen=True, slots=True)
class TimerDue:
    """A timer ran out."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class StartResult:
    """How starting an app ended: well, or with a *cause*."""

    name: str
    version: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class ApplyDone:
    """The answer to an Apply."""

    outcomes: tuple[StartResult, ...]


@dataclass(frozen=True, slots=True)
class InstancesExited:
    """All instances of a version of an app ended by themselves."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class UsageMeasured:
    """Current usage of the node, for the next report."""

    usage: NodeUsage


Event: TypeAlias = (
    Started
    | Connected
    | Disconnected
    | MessageReceived
    | TimerDue
    | ApplyDone
    | InstancesExited
    | UsageMeasured
)


@dataclass(frozen=True, slots=True)
class Publish:
    """Send *message*; drop it when there is no connection."""

    channel: Channel
    message: NodeMessage
    qos: int


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Send TimerDue after so many *seconds*."""

    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class Apply:
    """Start these apps; answer with one ApplyDone."""

    apps: tuple[HeldApp, ...]


@dataclass(frozen=True, slots=True)
class Save:
    """Keep *apps*, and nothing else, for the next start."""

    apps: tuple[HeldApp, ...]


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something a person may want to read."""

    text: str
    is_trouble: bool = False


Action: TypeAlias = Publish | StartTimer | Apply | Save | LogLine
Actions: TypeAlias = tuple[Action, ...]
