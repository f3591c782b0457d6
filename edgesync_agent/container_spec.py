"""The requests to an engine: names, labels, the body of `POST /containers/create`. Pure."""

from __future__ import annotations

import hashlib
from typing import Any, Callable, Mapping

from edgesync_agent.fields import SpecError
from edgesync_agent.runtime import INIT, LIVE, TRIAL, Slot
from edgesync_agent.situation import service_of
from edgesync_agent.spec import (
    JOB,
    AppDefinition,
    MountDefinition,
    ServiceDefinition,
    VolumeDefinition,
)

NODE, APP, VERSION, SPEC = "edgesync.node", "edgesync.app", "edgesync.version", "edgesync.spec"
SERVICE, REPLICA, STAGE = "edgesync.service", "edgesync.replica", "edgesync.stage"
LOG_SIZE, LOG_FILES = "10m", "2"  # stored of each container's output
STOP_SECONDS = 10  # from SIGTERM to SIGKILL

Place = Callable[[AppDefinition, VolumeDefinition, str], str]
"""Where the source of a volume is, for a stage: a path, or the name of an engine's volume."""


def container_name(node: str, slot: Slot) -> str:
    """Name of the container of *slot*: always the same one, so that it is made once."""
    digest = hashlib.sha256("\n".join(map(str, (node, *slot))).encode()).hexdigest()[:8]
    return f"edgesync-{slot.app}-{slot.service}-{slot.replica}-{digest}"


def app_object_name(node: str, app: str, part: str = "") -> str:
    """Name of what an app has of its own in the engine: its network, or the volume *part*."""
    digest = hashlib.sha256(f"{node}\n{app}\n{part}".encode()).hexdigest()[:8]
    return "-".join(filter(None, ["edgesync", app, part, digest]))


def labels_of(node: str, slot: Slot, version: str) -> dict[str, str]:
    """By which a container is known again."""
    return {
        NODE: node,
        APP: slot.app,
        VERSION: version,
        SPEC: slot.digest,
        SERVICE: slot.service,
        REPLICA: str(slot.replica),
        STAGE: slot.stage,
    }


def slot_in(labels: Mapping[str, str]) -> Slot | None:
    """The slot that labels stand for; None where they are not this agent's."""
    try:
        number = int(labels[REPLICA])
        return Slot(labels[APP], labels[SERVICE], number, labels[STAGE], labels[SPEC])
    except (KeyError, ValueError):
        return None


def container_body(
    app: AppDefinition,
    slot: Slot,
    node: str,
    place: Place,
    *,
    is_podman: bool,
    is_rootless: bool,
    stop_seconds: int = STOP_SECONDS,
) -> dict[str, Any]:
    """The body that asks for the container of *slot*; SpecError names what cannot be done."""
    service = service_of(app, slot)
    environment = [f"{name}={value}" for name, value in service.env]
    body: dict[str, Any] = {
        "Image": service.image,
        "Env": environment,
        "Labels": {**dict(service.labels), **labels_of(node, slot, app.version)},
        "ExposedPorts": {f"{one.container_port}/{one.protocol}": {} for one in service.ports},
        "StopTimeout": stop_seconds,
        "HostConfig": _host_config(
            app, service, slot, place, is_podman=is_podman, is_rootless=is_rootless
        ),
    }
    for key, value in (
        ("Entrypoint", list(service.command)),
        ("Cmd", list(service.args)),
        ("WorkingDir", service.working_dir),
        ("Hostname", service.hostname if not service.host_network else ""),
    ):
        if value:
            body[key] = value
    if service.host_network:
        body["HostConfig"]["NetworkMode"] = "host"
    else:
        network = app_object_name(node, app.name)
        body["HostConfig"]["NetworkMode"] = network
        names = [service.name, service.hostname] if slot.stage == LIVE else []
        aliases = sorted({name for name in names if name})
        body["NetworkingConfig"] = {"EndpointsConfig": {network: {"Aliases": aliases}}}
    return body


def _host_config(
    app: AppDefinition,
    service: ServiceDefinition,
    slot: Slot,
    place: Place,
    *,
    is_podman: bool,
    is_rootless: bool,
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Binds": [
            _bind(app, mount, slot.stage, place)
            for mount in service.mounts
            if not is_own_memory(app, app.volume(mount.volume))
        ],
        "Tmpfs": {
            mount.path: _memory_options(app.volume(mount.volume))
            for mount in service.mounts
            if is_own_memory(app, app.volume(mount.volume))
        },
        "PortBindings": port_bindings(service, slot, is_rootless=is_rootless),
        "RestartPolicy": _restart_policy(app, service, slot),
        "LogConfig": _log_config(is_podman=is_podman),
        "Privileged": service.privileged,
    }
    if service.devices:
        config["Devices"] = [
            {
                "PathOnHost": one.path,
                "PathInContainer": one.path,
                "CgroupPermissions": one.access,
            }
            for one in service.devices
        ]
    if service.cpu:
        config["NanoCpus"] = service.cpu
    if service.requested_cpu:  # as Kubernetes does: 1024 shares for a core
        config["CpuShares"] = max(service.requested_cpu * 1024 // 10**9, 2)
    if service.memory:
        config["Memory"] = config["MemorySwap"] = service.memory
    if service.requested_memory:
        config["MemoryReservation"] = service.requested_memory
    if service.runtime:
        config["Runtime"] = service.runtime
    return config


def port_bindings(
    service: ServiceDefinition, slot: Slot, *, is_rootless: bool
) -> dict[str, list[dict[str, str]]]:
    """Ports of the node that lead to the service.

    A trial has none. Without root the addresses of containers are not reached from the node, so
    each port that a probe asks is also reached through a free port of the loopback address.
    """
    found: dict[str, list[dict[str, str]]] = {}
    if service.host_network:
        return found
    if slot.stage == LIVE:
        for port in service.ports:
            if port.host_port is not None:
                binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
                found.setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    if is_rootless:
        for probe in (service.startup, service.liveness, service.readiness):
            if probe is not None and probe.kind != "exec" and f"{probe.port}/tcp" not in found:
                found[f"{probe.port}/tcp"] = [{"HostIp": "127.0.0.1", "HostPort": ""}]
    return found


def is_own_memory(app: AppDefinition, volume: VolumeDefinition) -> bool:
    """Whether it is memory that one service has to itself: a mount of each of its containers."""
    services = (*app.services, *app.init_services)
    users = [one for one in services if any(m.volume == volume.name for m in one.mounts)]
    return volume.in_memory and len(users) == 1


def _memory_options(volume: VolumeDefinition) -> str:
    return f"mode=1777,size={volume.size_limit}" if volume.size_limit else "mode=1777"


def _bind(app: AppDefinition, mount: MountDefinition, stage: str, place: Place) -> str:
    volume = app.volume(mount.volume)
    source = place(app, volume, stage)
    if mount.sub_path:
        if volume.kind == "emptyDir":
            raise SpecError("volumeMounts.subPath", "an engine has none for an emptyDir")
        source = f"{source}/{mount.sub_path}"
    is_read_only = mount.read_only or volume.kind in {"config", "secret"}
    options = ["ro" if is_read_only else "rw"]
    if volume.kind == "emptyDir":
        options.append("nocopy")
    elif volume.kind in {"config", "secret"}:
        options.append("z")  # where there is SELinux, containers may read it
    for text in (source, mount.path):
        if ":" in text:
            raise SpecError("volumeMounts", f"an engine takes no path with a colon: {text[:80]}")
    return f"{source}:{mount.path}:{','.join(options)}"


def _restart_policy(app: AppDefinition, service: ServiceDefinition, slot: Slot) -> dict[str, Any]:
    """The restart policy of the engine, so that apps run while no agent does.

    Where pauses are the app's own, or something runs to its end, the agent alone starts again.
    """
    rule = service.restart
    if slot.stage in {INIT, TRIAL} or app.workload == JOB or rule.has_own_backoff:
        return {"Name": "no"}
    if rule.policy == "Always" and rule.retries is None:
        return {"Name": "unless-stopped"}
    if rule.policy == "OnFailure":
        return {"Name": "on-failure", "MaximumRetryCount": rule.retries or 0}
    return {"Name": "no"}


def _log_config(*, is_podman: bool) -> dict[str, Any]:
    if is_podman:
        return {"Type": "k8s-file", "Config": {"max-size": LOG_SIZE}}
    return {"Type": "json-file", "Config": {"max-size": LOG_SIZE, "max-file": LOG_FILES}}
