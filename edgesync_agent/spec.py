"""An app as plain typed values; `parsing` reads them from what `desire` delivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

Pairs = Tuple[Tuple[str, str], ...]
"""A map of text, in the order of its keys."""

CONTAINERS, NATIVE = "kube", "native"  # `mode` of an app
PROGRAM_PATH = "/var/lib/baetyl/bin"  # where a host process mounts the config of its program
SERVICES, JOB = "deployment", "job"  # `workload` of an app that can run here
WORKLOADS = ("deployment", "daemonset", "statefulset", "job")
SOURCES = ("config", "secret", "hostPath", "emptyDir")
DEFAULT_PROGRESS_DEADLINE = 600  # seconds, as in a Kubernetes Deployment
DEFAULT_BACKOFF_LIMIT = 6  # retries of a job, as in Kubernetes


@dataclass(frozen=True)
class ProbeDefinition:
    """A check of a service; times in seconds, defaults as in Kubernetes' v1.Probe."""

    kind: str  # exec, httpGet or tcpSocket
    command: tuple[str, ...] = ()
    scheme: str = "HTTP"
    host: str = ""  # empty: the instance's own address
    port: int = 0
    path: str = "/"
    headers: Pairs = ()
    initial_delay: int = 0
    period: int = 10
    timeout: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True)
class MountDefinition:
    """Where a service sees a volume."""

    volume: str
    path: str
    sub_path: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class PortDefinition:
    """A port of a service; *host_port* None: it is not reached from outside."""

    container_port: int
    host_port: int | None = None
    protocol: str = "tcp"
    host_ip: str = ""


@dataclass(frozen=True)
class DeviceDefinition:
    """A device of the node; *access* is made of r, w and m (mknod)."""

    path: str
    access: str = "rwm"


@dataclass(frozen=True)
class RestartRule:
    """When an instance is started again, and after how many seconds.

    *has_own_backoff*: the app sets the pauses itself; an engine's own restart policy cannot keep
    them.
    """

    policy: str = "Always"
    retries: int | None = None  # at most; None: without end
    first_pause: float = 10.0
    longest_pause: float = 300.0
    factor: float = 2.0
    has_own_backoff: bool = False


@dataclass(frozen=True)
class ServiceDefinition:
    """The spec of one service of an app; *memory* in bytes, *cpu* in 1e-9 cores, 0: no limit.

    *program* names the config with the program of a host process (`mode: native`).
    """

    name: str
    image: str = ""
    pull_policy: str = "IfNotPresent"
    program: str = ""
    hostname: str = ""
    replicas: int = 1
    mounts: tuple[MountDefinition, ...] = ()
    ports: tuple[PortDefinition, ...] = ()
    devices: tuple[DeviceDefinition, ...] = ()
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_dir: str = ""
    env: Pairs = ()
    cpu: int = 0
    memory: int = 0
    requested_cpu: int = 0
    requested_memory: int = 0
    runtime: str = ""
    restart: RestartRule = RestartRule()
    privileged: bool = False
    host_network: bool = False
    labels: Pairs = ()
    startup: ProbeDefinition | None = None
    liveness: ProbeDefinition | None = None
    readiness: ProbeDefinition | None = None


@dataclass(frozen=True)
class VolumeDefinition:
    """Something services mount; *kind* is one of `SOURCES`.

    *source* is the name of the config or secret, or the path on the node; *version* that of the
    config or secret.
    """

    name: str
    kind: str
    source: str = ""
    version: str = ""
    path_type: str = ""
    in_memory: bool = False
    size_limit: int = 0


@dataclass(frozen=True)
class JobRule:
    """How often a job has to succeed, how many run at a time, how many failures are allowed."""

    completions: int = 1
    parallelism: int = 1
    backoff_limit: int = DEFAULT_BACKOFF_LIMIT


@dataclass(frozen=True)
class AppDefinition:
    """One version of an app; *registries* names the secrets its images are pulled with.

    *min_ready* and *progress_deadline* are seconds (Kubernetes' minReadySeconds and
    progressDeadlineSeconds).
    """

    name: str
    version: str
    mode: str = CONTAINERS
    workload: str = SERVICES
    services: tuple[ServiceDefinition, ...] = ()
    init_services: tuple[ServiceDefinition, ...] = ()
    volumes: tuple[VolumeDefinition, ...] = ()
    registries: tuple[str, ...] = ()
    job: JobRule = JobRule()
    min_ready: int = 0
    progress_deadline: int = DEFAULT_PROGRESS_DEADLINE

    def volume(self, name: str) -> VolumeDefinition:
        """The volume of that name; `read_app` has checked that each mount has one."""
        return next(volume for volume in self.volumes if volume.name == name)
