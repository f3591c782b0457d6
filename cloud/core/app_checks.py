"""Checks of apps: what no node could run is refused, by the name of its field."""

from msgspec import UNSET, UnsetType

from cloud.core.app import (
    SIZE_LIMIT,
    AppSpec,
    AppType,
    Backoff,
    HostPath,
    Port,
    Ref,
    Resources,
    Restart,
    Service,
    Volume,
    VolumeMount,
    services_of,
)
from cloud.core.bounds import check_description, check_label_bounds, check_size
from cloud.core.names import check_labels, check_name, check_service_name
from cloud.core.probes import PORT_LIMIT, ServiceProbe, check_probe
from cloud.core.selectors import parse_selector
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
from cloud.core.workload import AppMode, check_deadlines, check_empty_dir
from cloud.errors import Invalid

_PROBES = {
    "liveness_probe": "livenessProbe",
    "readiness_probe": "readinessProbe",
    "startup_probe": "startupProbe",
}

_EVERY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104  # a value, not bound


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
