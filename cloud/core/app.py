"""An app: services a node runs, and the configs and secrets they mount."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cloud.core.bounds import check_description, check_label_bounds, check_size
from cloud.core.names import check_labels, check_name, check_service_name
from cloud.core.probes import Number, ServiceProbe, check_probe
from cloud.core.selectors import Selector, parse_selector
from cloud.core.service_values import (
    check_backoff,
    check_device_policy,
    check_host_ip,
    check_host_path_type,
    check_hostname,
    check_quantities,
    check_restart_policy,
    check_sub_path,
    check_variable_name,
)
from cloud.core.workload import (
    AppMode,
    JobConfig,
    PullPolicy,
    Workload,
    check_deadlines,
    check_empty_dir,
)
from cloud.errors import Invalid

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Duration = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Nanoseconds; like every number here it has to fit into what nodes can read."""


PORT_LIMIT = 65535

SIZE_LIMIT = 1024 * 1024
"""Bytes of one app, written as JSON."""

FUNCTION_CONFIG_PREFIX = "baetyl-function-config-"
"""Begins the names of configs that are a part of a function app and nowhere else."""

PROGRAM_PREFIX = "baetyl-program-config-"
"""Begins the name of the volume with the program of a service; the service's name follows."""

_PROBES = {
    "liveness_probe": "livenessProbe",
    "readiness_probe": "readinessProbe",
    "startup_probe": "startupProbe",
}

_EVERY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104  # said, not bound


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A piece of an app's description; the contract's names are camelCase."""


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
    """When a service is restarted; kept and delivered, the node decides."""

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
    """What an app is made of."""

    CONTAINER = "container"
    FUNCTION = "function"


class AppSpec(_Part, frozen=True):
    """What an operator says of an app (contract, "Create Application").

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


class UseKind(StrEnum):
    """What an app can use by name."""

    CONFIG = "config"
    SECRET = "secret"  # noqa: S105
    REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class Use:
    """An app's use of the resource *name*; *field* is where the app says so."""

    kind: UseKind
    name: str
    field: str


@dataclass(frozen=True, slots=True)
class App:
    """An app as it is kept; *version* changes with its content and with all that it uses."""

    namespace: str
    name: str
    spec: AppSpec
    version: str
    created: datetime
    updated: datetime

    @property
    def selector(self) -> Selector:
        """Terms a node's labels must satisfy; none means the app is deployed nowhere."""
        return parse_selector(self.spec.selector)


def uses_of(spec: AppSpec) -> Iterator[Use]:
    """Everything *spec* refers to by name."""
    for index, volume in enumerate(spec.volumes):
        if isinstance(volume.config, Ref) and not is_part(volume.config):
            yield Use(UseKind.CONFIG, volume.config.name, f"volumes[{index}].config.name")
        if isinstance(volume.secret, Ref):
            yield Use(UseKind.SECRET, volume.secret.name, f"volumes[{index}].secret.name")
    for index, registry in enumerate(spec.registries):
        yield Use(UseKind.REGISTRY, registry.name, f"registries[{index}].name")
    mounted = {volume.name for volume in spec.volumes}
    for field, service in services_of(spec):
        if service.program_config and PROGRAM_PREFIX + service.name not in mounted:
            yield Use(UseKind.CONFIG, service.program_config, f"{field}.programConfig")


def services_of(spec: AppSpec) -> Iterator[tuple[str, Service]]:
    """Every service of *spec* with the field it stands in; those that run first come last."""
    for name, services in (("services", spec.services), ("initServices", spec.init_services or ())):
        for index, service in enumerate(services):
            yield f"{name}[{index}]", service


def is_part(config: Ref) -> bool:
    """Say whether that config is made from the app that names it; no operator can make such one."""
    return config.name.startswith(FUNCTION_CONFIG_PREFIX)


def checked_app_spec(spec: AppSpec) -> AppSpec:
    """Return *spec* if a node could run it; Invalid names the field."""
    parse_selector(spec.selector)
    check_description(spec.description)
    check_label_bounds(spec.labels)
    check_size("", spec, SIZE_LIMIT)
    _check_volumes(spec.volumes)
    volumes = {volume.name for volume in spec.volumes}
    names: set[str] = set()
    for field, service in services_of(spec):
        _check_unique(f"{field}.name", check_service_name(f"{field}.name", service.name), names)
        _check_program(field, service, spec.mode)
        _check_service(field, service, volumes)
        is_init = not field.startswith("services")
        _check_functions(field, service, AppType.CONTAINER if is_init else spec.type)
        _check_probes(field, service, is_init=is_init)
    _check_host_ports(spec)
    check_deadlines(spec.min_ready_seconds, spec.progress_deadline_seconds)
    if spec.type is AppType.FUNCTION and spec.registries:
        raise Invalid("registries", "a function application has none")
    _check_registries(spec.registries, volumes)
    return spec


def _check_volumes(volumes: tuple[Volume, ...]) -> None:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        field = f"volumes[{index}]"
        _check_unique(f"{field}.name", check_name(f"{field}.name", volume.name), names)
        sources = (volume.host_path, volume.config, volume.secret, volume.empty_dir)
        if sum(source is not UNSET for source in sources) != 1:
            raise Invalid(field, "needs exactly one of hostPath, config, secret and emptyDir")
        if isinstance(volume.host_path, HostPath):
            _check_present(f"{field}.hostPath.path", volume.host_path.path)
            check_host_path_type(f"{field}.hostPath.type", volume.host_path.type)
        if isinstance(volume.empty_dir, dict):
            check_empty_dir(f"{field}.emptyDir", volume.empty_dir)


def _check_registries(registries: tuple[Ref, ...], volumes: set[str]) -> None:
    """A node gets each registry as a volume of that name."""
    names = set(volumes)
    for index, registry in enumerate(registries):
        _check_unique(f"registries[{index}].name", registry.name, names)


def _check_program(field: str, service: Service, mode: AppMode | UnsetType) -> None:
    if mode is AppMode.NATIVE:
        _check_present(f"{field}.programConfig", service.program_config or "")
        return
    if service.program_config:
        raise Invalid(f"{field}.programConfig", "belongs to an application in mode native")
    if not service.image.strip():
        raise Invalid(f"{field}.image", "a container application needs an image")


def _check_probes(field: str, service: Service, *, is_init: bool) -> None:
    for attribute, name in _PROBES.items():
        probe: ServiceProbe | UnsetType = getattr(service, attribute)
        if isinstance(probe, UnsetType):
            continue
        if is_init:
            raise Invalid(f"{field}.{name}", "a service that runs first has no probes")
        check_probe(f"{field}.{name}", probe, is_readiness=attribute == "readiness_probe")


def _check_service(field: str, service: Service, volumes: set[str]) -> None:
    check_labels(f"{field}.labels", service.labels)
    check_hostname(f"{field}.hostname", service.hostname)
    _check_mounts(field, service.volume_mounts, volumes)
    for index, variable in enumerate(service.env):
        check_variable_name(f"{field}.env[{index}].name", variable.name)
    for index, device in enumerate(service.devices):
        _check_present(f"{field}.devices[{index}].devicePath", device.device_path)
        check_device_policy(f"{field}.devices[{index}].policy", device.policy)
    if isinstance(service.resources, Resources):
        check_quantities(f"{field}.resources.limits", service.resources.limits)
        check_quantities(f"{field}.resources.requests", service.resources.requests)
    if isinstance(service.restart, Restart):
        _check_restart(f"{field}.restart", service.restart)


def _check_mounts(field: str, mounts: tuple[VolumeMount, ...], volumes: set[str]) -> None:
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        mounted = f"{field}.volumeMounts[{index}]"
        if mount.name not in volumes:
            raise Invalid(f"{mounted}.name", f"no volume {mount.name[:80]!r}")
        _check_present(f"{mounted}.mountPath", mount.mount_path)
        _check_unique(f"{mounted}.mountPath", mount.mount_path, paths)
        check_sub_path(f"{mounted}.subPath", mount.sub_path)


def _check_restart(field: str, restart: Restart) -> None:
    check_restart_policy(f"{field}.policy", restart.policy)
    if isinstance(restart.backoff, Backoff):
        backoff = restart.backoff
        check_backoff(f"{field}.backoff", backoff.min, backoff.max, backoff.factor)


def _check_functions(field: str, service: Service, kind: AppType) -> None:
    functions = service.functions or ()
    if kind is AppType.CONTAINER:
        for name, given in (("functionConfig", service.function_config), ("functions", functions)):
            if given:
                raise Invalid(f"{field}.{name}", "belongs to a function application")
    names: set[str] = set()
    for index, function in enumerate(functions):
        place = f"{field}.functions[{index}]"
        _check_present(f"{place}.name", function.name)
        _check_unique(f"{place}.name", function.name, names)
        _check_present(f"{place}.handler", function.handler)
        if function.codedir.startswith("/") or ".." in function.codedir.split("/"):
            raise Invalid(f"{place}.codedir", "leads out of the code")


def _check_host_ports(spec: AppSpec) -> None:
    taken: dict[tuple[str, int], set[str]] = {}
    for place, service in services_of(spec):
        replica = service.replica if isinstance(spec.replica, UnsetType) else spec.replica
        for number, port in enumerate(service.ports):
            field = f"{place}.ports[{number}]"
            _check_port(field, port)
            if isinstance(port.host_port, UnsetType) or port.host_port == 0:
                continue
            if replica > 1:
                raise Invalid(f"{field}.hostPort", "goes with a replica of 1 at most")
            address = "" if port.host_ip in _EVERY_ADDRESS else port.host_ip
            addresses = taken.setdefault((port.protocol.upper(), port.host_port), set())
            if addresses and (not address or not addresses.isdisjoint({"", address})):
                raise Invalid(f"{field}.hostPort", f"{port.host_port} is used twice")
            addresses.add(address)


def _check_port(field: str, port: Port) -> None:
    if not 1 <= port.container_port <= PORT_LIMIT:
        raise Invalid(f"{field}.containerPort", f"is not between 1 and {PORT_LIMIT}")
    if isinstance(port.host_port, int) and not 0 <= port.host_port <= PORT_LIMIT:
        raise Invalid(f"{field}.hostPort", f"is not between 0 and {PORT_LIMIT}")
    if port.protocol.upper() not in {"TCP", "UDP"}:
        raise Invalid(f"{field}.protocol", f"{port.protocol[:80]!r} is neither TCP nor UDP")
    check_host_ip(f"{field}.hostIP", port.host_ip)


def _check_present(field: str, text: str) -> None:
    if not text.strip():
        raise Invalid(field, "is empty")


def _check_unique(field: str, name: str, seen: set[str]) -> None:
    if name in seen:
        raise Invalid(field, f"{name[:80]!r} is there twice")
    seen.add(name)
