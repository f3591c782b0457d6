"""An app: services a node runs, and the configs and secrets they mount."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cloud.core.kind import ResourceKind
from cloud.core.kinds import APP, CONFIG, REGISTRY, SECRET
from cloud.core.probes import Number, ServiceProbe
from cloud.core.resource import VersionedResource
from cloud.core.selectors import Selector, parse_selector
from cloud.core.workload import AppMode, JobConfig, PullPolicy, Workload

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Duration = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Nanoseconds; like every number here it has to fit into what nodes can read."""


SIZE_LIMIT = 1024 * 1024
"""Bytes of one app, written as JSON."""

FUNCTION_CONFIG_PREFIX = "baetyl-function-config-"
"""Begins the names of configs that are a part of a function app and nowhere else."""

PROGRAM_PREFIX = "baetyl-program-config-"
"""Begins the name of the volume with the program of a service; the service's name follows."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A piece of an app's description; the contract's names are camelCase."""


class AppVersion(msgspec.Struct, frozen=True, order=True, gc=False):
    """One app at one version, as reports and deltas name it."""

    name: str
    version: str


class Ref(msgspec.Struct, frozen=True):
    """Names another resource; a `version` beside it is ignored: the current one is used."""

    name: str


class HostPath(_Part, frozen=True):
    """A directory or file of the node itself."""

    path: str
    type: str = ""


class Volume(_Part, frozen=True):
    """Something a service can mount; exactly one of its sources is set."""

    name: str
    host_path: HostPath | UnsetType = UNSET
    config: Ref | UnsetType = UNSET
    secret: Ref | UnsetType = UNSET
    # Checked, not typed: what is stored already may have other keys.
    empty_dir: (
        Annotated[dict[str, str], Meta(description="`medium` (empty or Memory) and `sizeLimit`")]
        | UnsetType
    ) = UNSET


class VolumeMount(_Part, frozen=True):
    """Where a service sees a volume."""

    name: str
    mount_path: str
    sub_path: str = ""
    read_only: bool = False
    immutable: bool = False
    auto_clean: bool | UnsetType = UNSET


class Port(_Part, frozen=True):
    """A port of a service, and the node's port it is reached through."""

    container_port: int
    host_port: int | UnsetType = UNSET
    protocol: str = "TCP"
    host_ip: str = msgspec.field(name="hostIP", default="")


class Device(_Part, frozen=True):
    """A device of the node a service may use."""

    device_path: str
    policy: str = ""
    description: str = ""


class EnvironmentVariable(_Part, frozen=True):
    """One variable in a service's environment."""

    name: str
    value: str = ""


class Resources(_Part, frozen=True):
    """CPU and memory a service may use (`limits`) and is promised (`requests`)."""

    limits: dict[str, str] = {}
    requests: dict[str, str] = {}


class Backoff(_Part, frozen=True):
    """Pause between restarts."""

    min: Duration
    max: Duration
    factor: float


class Retry(_Part, frozen=True):
    """How often a service is restarted."""

    max: Count


class Restart(_Part, frozen=True):
    """When a service is restarted; stored and delivered, the node decides."""

    retry: Retry | UnsetType = UNSET
    policy: str = ""
    backoff: Backoff | UnsetType = UNSET


class Security(_Part, frozen=True):
    """Rights of a service on its node."""

    privileged: bool = False


class FunctionConfig(_Part, frozen=True):
    """Where the code of a service's functions is (a config), and what runs it."""

    name: str
    runtime: str


class Function(_Part, frozen=True):
    """One function: what to call, in which directory of the code."""

    name: str
    handler: str
    codedir: str = ""


class Service(_Part, frozen=True):
    """One container, or several alike (`replica`); in mode native the program of a config."""

    name: str
    labels: dict[str, str] = {}
    image: str = ""
    hostname: str = ""
    replica: Count = 1
    volume_mounts: tuple[VolumeMount, ...] = ()
    ports: tuple[Port, ...] = ()
    devices: tuple[Device, ...] = ()
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvironmentVariable, ...] = ()
    resources: Resources | UnsetType = UNSET
    runtime: str = ""
    restart: Restart | UnsetType = UNSET
    security: Security | UnsetType = UNSET
    host_network: bool = False
    function_config: FunctionConfig | UnsetType = UNSET
    functions: tuple[Function, ...] | UnsetType = UNSET
    program_config: str | UnsetType = UNSET
    image_pull_policy: PullPolicy | UnsetType = UNSET
    liveness_probe: ServiceProbe | UnsetType = UNSET
    readiness_probe: ServiceProbe | UnsetType = UNSET
    startup_probe: ServiceProbe | UnsetType = UNSET


class AppType(StrEnum):
    """The description of an app."""

    CONTAINER = "container"
    FUNCTION = "function"


class AppSpec(_Part, frozen=True):
    """The specification of an app (contract, "Create Application").

    What begins with `mode` is of present-day baetyl-cloud, the last two are edgesync's own.
    `replica` and `host_network`, where given, hold for every service. *min_ready_seconds*: how long
    an instance has to be ready before it counts as available; *progress_deadline_seconds*: how
    long an update may make no progress before it has failed (0 and 600 where not given).
    """

    selector: str = ""
    labels: dict[str, str] = {}
    description: str = ""
    type: AppType = AppType.CONTAINER
    services: tuple[Service, ...] = ()
    volumes: tuple[Volume, ...] = ()
    registries: tuple[Ref, ...] = ()
    mode: AppMode | UnsetType = UNSET
    init_services: tuple[Service, ...] | UnsetType = UNSET
    replica: Count | UnsetType = UNSET
    workload: Workload | UnsetType = UNSET
    job_config: JobConfig | UnsetType = UNSET
    host_network: bool | UnsetType = UNSET
    min_ready_seconds: Number | UnsetType = UNSET
    progress_deadline_seconds: Number | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Use:
    """An app's use of the resource *name*; *field* is where the app names it."""

    kind: ResourceKind
    name: str
    field: str


@dataclass(frozen=True, slots=True)
class App(VersionedResource[AppSpec]):
    """An app as it is stored; *version* changes with its content and with all that it uses."""

    kind = APP

    @property
    def selector(self) -> Selector:
        """Terms a node's labels must satisfy; none means the app is deployed nowhere."""
        return parse_selector(self.spec.selector)


def uses_of(spec: AppSpec) -> Iterator[Use]:
    """Everything *spec* refers to by name."""
    for index, volume in enumerate(spec.volumes):
        if isinstance(volume.config, Ref) and not is_part(volume.config):
            yield Use(CONFIG, volume.config.name, f"volumes[{index}].config.name")
        if isinstance(volume.secret, Ref):
            yield Use(SECRET, volume.secret.name, f"volumes[{index}].secret.name")
    for index, registry in enumerate(spec.registries):
        yield Use(REGISTRY, registry.name, f"registries[{index}].name")
    mounted = {volume.name for volume in spec.volumes}
    for field, service in services_of(spec):
        if service.program_config and PROGRAM_PREFIX + service.name not in mounted:
            yield Use(CONFIG, service.program_config, f"{field}.programConfig")


def services_of(spec: AppSpec) -> Iterator[tuple[str, Service]]:
    """Every service of *spec* with the field it stands in; those that run first come last."""
    for name, services in (("services", spec.services), ("initServices", spec.init_services or ())):
        for index, service in enumerate(services):
            yield f"{name}[{index}]", service


def is_part(config: Ref) -> bool:
    """Return whether that config is made from the app that names it; operators cannot make one."""
    return config.name.startswith(FUNCTION_CONFIG_PREFIX)
