"""The abilities of an engine here; fields beyond them are refused by name before a pull."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from edgesync_agent.container_spec import is_own_memory
from edgesync_agent.engine import Engine
from edgesync_agent.fields import SpecError
from edgesync_agent.machine import first_line
from edgesync_agent.spec import AppDefinition, ServiceDefinition

CPU, CPU_SHARES, MEMORY = "CpuCfsQuota", "CPUShares", "MemoryLimit"  # words of `/info`
CONTROLLERS = {CPU: "cpu", CPU_SHARES: "cpu", MEMORY: "memory"}  # cgroups that they need
FIRST_PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"  # ip-sysctl.rst of Linux


@dataclass(frozen=True)
class Abilities:
    """*lacks*: the limits that the engine ignores; *first_port*: the lowest that it may open."""

    is_podman: bool = False
    is_rootless: bool = False
    lacks: frozenset[str] = frozenset()
    first_port: int = 0

    @property
    def can_measure(self) -> bool:
        """Whether its figures of a container are those of the container."""
        return not (self.is_rootless and MEMORY in self.lacks)


def abilities_of(engine: Engine, *, is_rootless: bool) -> Abilities:
    """The present abilities of *engine*; RuntimeFailure where it does not answer.

    Podman without root lists in `/info` what the kernel has. What the user was given of that are
    the controllers in its own answer; with cgroups of version 1 there are none.
    """
    is_podman = engine.is_podman
    if not (is_podman and is_rootless):
        found = engine.call("GET", "/info") or {}
        return Abilities(is_podman, is_rootless, frozenset(_missing(found)))
    host = (engine.call("GET", "/libpod/info") or {}).get("host") or {}
    given = host.get("cgroupControllers") or ()
    lacks = frozenset(word for word, needed in CONTROLLERS.items() if needed not in given)
    return Abilities(is_podman, is_rootless, lacks, int(first_line(FIRST_PORT) or 1024))


def _missing(info: Mapping[str, Any]) -> Iterator[str]:
    return (word for word in CONTROLLERS if info.get(word) is False)


def check_for_engine(app: AppDefinition, abilities: Abilities) -> None:
    """Refuse by name what the engine cannot do; SpecError."""
    for index, volume in enumerate(app.volumes):
        if volume.kind != "emptyDir" or not volume.size_limit:
            continue
        field = f"volumes[{index}].emptyDir.sizeLimit"
        if not volume.in_memory:
            raise SpecError(field, "an engine can only limit one with the medium Memory")
        if abilities.is_podman and not is_own_memory(app, volume):
            raise SpecError(field, "Podman can only limit one that a single service mounts")
    for name, services in (("services", app.services), ("initServices", app.init_services)):
        for index, service in enumerate(services):
            field = f"{name}[{index}]"
            if service.program and not service.image:
                raise SpecError(f"{field}.programConfig", "belongs to mode native")
            _check_resources(field, service, abilities)
            if abilities.is_rootless:
                _check_rootless(field, service, abilities)


def has_resources(app: AppDefinition) -> bool:
    """Whether a service has limits or requests, for which an engine needs controllers."""
    return any(any(_resources(one)) for one in (*app.services, *app.init_services))


def _resources(service: ServiceDefinition) -> Iterator[tuple[str, str]]:
    """What is given, and the word of `/info` for what it needs."""
    for part, needed, given in (
        ("limits.cpu", CPU, service.cpu),
        ("limits.memory", MEMORY, service.memory),
        ("requests.cpu", CPU_SHARES, service.requested_cpu),
        ("requests.memory", MEMORY, service.requested_memory),
    ):
        if given:
            yield part, needed


def _check_resources(field: str, service: ServiceDefinition, abilities: Abilities) -> None:
    for part, needed in _resources(service):
        if needed in abilities.lacks:
            why = f"the engine has no cgroup controller for {CONTROLLERS[needed]} here"
            if abilities.is_rootless:
                why += ": without root it takes cgroup v2 with controllers delegated to the user"
            raise SpecError(f"{field}.resources.{part}", why)


def _check_rootless(field: str, service: ServiceDefinition, abilities: Abilities) -> None:
    for index, port in enumerate(service.ports):
        if port.host_port and port.host_port < abilities.first_port:
            why = f"without root an engine opens ports from {abilities.first_port} on"
            raise SpecError(f"{field}.ports[{index}].hostPort", why)
    for index, device in enumerate(service.devices):
        if not {"r", "w"} <= set(device.access):
            why = "without root an engine cannot take away read or write"
            raise SpecError(f"{field}.devices[{index}].policy", why)
