"""Runtimes of instances of apps: an engine's containers (`containers`) or host processes.

`reconcile` decides, a `Runtime` obeys: it states what there is (`observe`) and carries out one step
at a time. Everything it runs bears the node's id, so that what another owner runs is never among
what it observes. A step may be carried out twice, and after a crash at any moment: creating what is
there, starting what runs, stopping what has ended and removing what is gone all succeed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Mapping, NamedTuple, Protocol, Sequence, Union

from edgesync_agent.spec import AppDefinition, ProbeDefinition

LIVE = "live"  # serves: has its host ports and its name on the network of the app
TRIAL = "trial"  # a new version beside the old one: no host ports, no name, no shared data
INIT = "init"  # runs to its end before the services start

CREATED, RUNNING, RESTARTING, EXITED = "created", "running", "restarting", "exited"


class RuntimeFailure(Exception):
    """A step was not carried out; *reason* is one of `FailureReason`, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FailureReason:
    """Why an app does not run, as a word of the report's `failure` (docs/protocol.md)."""

    REFUSED = "Refused"  # a field cannot be honoured, or the policy of the machine forbids it
    NO_RUNTIME = "NoRuntime"
    ENGINE = "EngineError"
    IMAGE = "ImageMissing"
    REGISTRY = "RegistryDenied"
    DISK = "DiskFull"
    PORT = "PortTaken"
    START = "StartFailed"
    EXIT = "Exited"
    MEMORY = "OutOfMemory"
    STARTUP = "StartupProbeFailed"
    LIVENESS = "LivenessProbeFailed"
    READINESS = "ReadinessProbeFailed"
    DEADLINE = "ProgressDeadlineExceeded"


class Slot(NamedTuple):
    """The identity of an instance: one replica of one service at one spec digest."""

    app: str
    service: str
    replica: int
    stage: str
    digest: str


@dataclass(frozen=True)
class Instance:
    """An instance as its runtime sees it; times in seconds since 1970, 0: not yet.

    *key* is what the runtime knows it by. *restarts* counts those that the runtime did by itself.
    """

    key: str
    slot: Slot
    version: str  # of the app when it was created
    state: str
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    out_of_memory: bool = False
    error: str = ""
    restarts: int = 0


@dataclass(frozen=True)
class Create:
    """Make an instance of a service of *version*; it does not run yet."""

    slot: Slot
    version: str


@dataclass(frozen=True)
class Start:
    """Start an instance that was created, or has ended."""

    instance: Instance


@dataclass(frozen=True)
class Stop:
    """End an instance, with SIGTERM first; it stays, and can be started again."""

    instance: Instance


@dataclass(frozen=True)
class Remove:
    """Remove an instance, and what only it used; it is ended where it runs."""

    instance: Instance


@dataclass(frozen=True)
class Fetch:
    """Bring everything of *version* to this node; takes long and runs beside other steps."""

    app: str
    version: str


@dataclass(frozen=True)
class SwitchFiles:
    """Have the volumes of the app show the files of *version*, atomically for each volume."""

    app: str
    version: str


@dataclass(frozen=True)
class Forget:
    """Remove what is left of an app without instances: network, files, secrets, data."""

    app: str


InstanceStep = Union[Create, Start, Stop, Remove]
Step = Union[Create, Start, Stop, Remove, Fetch, SwitchFiles, Forget]


class AppFiles(Protocol):
    """Where the files of an app are on this machine (`volumes`)."""

    def path(self, app: AppDefinition, volume: str, stage: str) -> str:
        """Directory with the files of a config or secret, or the data of an emptyDir.

        That of a trial shows the files of *app*'s version only; the others follow `SwitchFiles`.
        """
        ...

    def credentials(self, app: AppDefinition) -> Sequence[Mapping[str, str]]:
        """`address`, `username` and `password` of each registry of the app."""
        ...


class InstanceUsage(NamedTuple):
    """The usage of an instance: cores over the last moments, and bytes of memory."""

    cpu: float
    memory: int


class Runtime(Protocol):
    """Something that runs instances; every call but `fetch`, `logs` ends within seconds.

    All raise RuntimeFailure.
    """

    def describe(self) -> str:
        """Its name and version, for `containerRuntime` of the report; empty where it has none."""
        ...

    def observe(self) -> Sequence[Instance]:
        """Every instance of this node, in any state."""
        ...

    def missing(self, app: AppDefinition) -> Sequence[str]:
        """Names of what to fetch before *app* can start; quick and without network."""
        ...

    def fetch(self, app: AppDefinition, files: AppFiles) -> None:
        """Bring it here: pull images, unpack programs. May take minutes."""
        ...

    def carry_out(self, step: InstanceStep, app: AppDefinition | None, files: AppFiles) -> None:
        """Create, start, stop or remove; *app* is the version of a `Create`, else None."""
        ...

    def forget(self, app: str) -> None:
        """Remove what it keeps for an app that has no instances any more."""
        ...

    def check(self, instance: Instance, probe: ProbeDefinition) -> str:
        """Carry out one check, within its timeout: empty if it succeeds, else what is wrong."""
        ...

    def logs(
        self, instance: Instance, *, lines: int, since: float = 0.0, follow: float = 0.0
    ) -> Iterator[bytes]:
        """The last *lines* of output, none before *since*; then what comes for *follow* seconds."""
        ...

    def usage(self, instances: Sequence[Instance]) -> Mapping[str, InstanceUsage]:
        """Usage of running instances by key; one that cannot be measured is left out."""
        ...

    def prune(self, apps: Sequence[AppDefinition]) -> None:
        """Remove what this runtime fetched and none of *apps* uses."""
        ...
