"""Reads an app, as `desire` delivers it, into the values of `spec`.

`read_app` honours every field or refuses it by name: a field that this agent does not know, or a
value that it cannot carry out, raises SpecError unless it is empty.
"""

from __future__ import annotations

from typing import Any

from edgesync_agent.fields import Fields, SpecError, bytes_of, duration_of, nano_cpus_of, port_of
from edgesync_agent.spec import (
    CONTAINERS,
    DEFAULT_BACKOFF_LIMIT,
    DEFAULT_PROGRESS_DEADLINE,
    NATIVE,
    SERVICES,
    SOURCES,
    WORKLOADS,
    AppDefinition,
    DeviceDefinition,
    JobRule,
    MountDefinition,
    PortDefinition,
    ProbeDefinition,
    RestartRule,
    ServiceDefinition,
    VolumeDefinition,
)

RESTART_POLICIES = ("Always", "OnFailure", "Never")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
DEVICE_ACCESS = {"": "rwm", "r": "r", "rw": "rw", "w": "w", "m": "m", "rwm": "rwm", "wm": "wm"}
HOST_PATH_TYPES = (
    *("", "DirectoryOrCreate", "Directory", "FileOrCreate"),
    *("File", "Socket", "CharDevice", "BlockDevice"),
)

_NOT_OF_A_NODE = (  # what is for the server or for people; nothing to carry out
    *("namespace", "createTime", "updateTime", "selector", "labels", "description", "system"),
)


def read_app(body: Any) -> AppDefinition:
    """Check *body*, as `desire` delivers it; SpecError names the field that cannot be honoured."""
    fields = Fields("", body)
    fields.ignore(*_NOT_OF_A_NODE)
    fields.choice("type", ("container", "function"), "container")
    mode = fields.choice("mode", (CONTAINERS, NATIVE), CONTAINERS)
    workload = fields.choice("workload", WORKLOADS, SERVICES)
    fields.choice("dnsPolicy", ("ClusterFirst", "Default"), "ClusterFirst")
    replicas = None if fields.content.get("replica") is None else fields.count("replica", 1)
    on_host = fields.flag("hostNetwork")
    volumes = tuple(_volume(one) for one in fields.maps("volumes"))
    known = {volume.name for volume in volumes}
    services = tuple(
        _service(one, mode, known, replicas, on_host=on_host) for one in fields.maps("services")
    )
    init = tuple(
        _service(one, mode, known, 1, on_host=on_host) for one in fields.maps("initServices")
    )
    _check_init(init)
    registries = tuple(one.name() for one in fields.maps("registries") if one.ignore("version"))
    app = AppDefinition(
        name=fields.name(),
        version=fields.text("version"),
        mode=mode,
        workload=workload,
        services=services,
        init_services=init,
        volumes=volumes,
        registries=registries,
        job=_job(fields.map("jobConfig")),
        min_ready=fields.count("minReadySeconds", 0),
        progress_deadline=fields.count("progressDeadlineSeconds", DEFAULT_PROGRESS_DEADLINE),
    )
    fields.end()
    return app


def _check_init(services: tuple[ServiceDefinition, ...]) -> None:
    for index, service in enumerate(services):
        for name in ("startup", "liveness", "readiness"):
            if getattr(service, name):
                raise SpecError(f"initServices[{index}].{name}Probe", "an init service has none")


def _job(fields: Fields | None) -> JobRule:
    if fields is None:
        return JobRule()
    fields.choice("restartPolicy", ("Never", "OnFailure"), "Never")
    rule = JobRule(
        fields.count("completions", 1) or 1,
        fields.count("parallelism", 1) or 1,
        fields.count("backoffLimit", DEFAULT_BACKOFF_LIMIT),
    )
    fields.end()
    return rule


def _volume(fields: Fields) -> VolumeDefinition:
    name = fields.name()
    found = [(kind, one) for kind in SOURCES for one in [fields.map(kind)] if one is not None]
    fields.end()
    if len(found) != 1:
        raise SpecError(fields.path, f"needs exactly one of {', '.join(SOURCES)}")
    kind, source = found[0]
    if kind == "hostPath":
        volume = VolumeDefinition(name, kind, source.text("path"))
        if not volume.source.startswith("/"):
            raise SpecError(f"{source.path}.path", "is not an absolute path")
        path_type = source.choice("type", HOST_PATH_TYPES, "")
        volume = VolumeDefinition(name, kind, volume.source, path_type=path_type)
    elif kind == "emptyDir":
        in_memory = source.choice("medium", ("", "Memory"), "") == "Memory"
        limit = bytes_of(f"{source.path}.sizeLimit", source.plain("sizeLimit"))
        volume = VolumeDefinition(name, kind, in_memory=in_memory, size_limit=limit)
    else:
        volume = VolumeDefinition(name, kind, source.name(), source.text("version"))
    source.end()
    return volume


def _service(
    fields: Fields, mode: str, volumes: set[str], replicas: int | None, *, on_host: bool
) -> ServiceDefinition:
    fields.ignore("functionConfig", "functions", "type")  # the server has made image and mounts
    name, image = fields.name(), fields.text("image").strip()
    if mode == CONTAINERS and not image:
        raise SpecError(f"{fields.path}.image", "is missing")
    limits, requests = _resources(fields)
    security = fields.map("security")
    privileged = security.flag("privileged") if security else False
    if security:
        security.end()
    own_replicas = fields.count("replica", 1)
    service = ServiceDefinition(
        name=name,
        image=image,
        pull_policy=fields.choice("imagePullPolicy", PULL_POLICIES, _default_pull_policy(image)),
        program=fields.text("programConfig"),
        hostname=fields.text("hostname"),
        replicas=own_replicas if replicas is None else replicas,
        mounts=tuple(_mount(one, volumes) for one in fields.maps("volumeMounts")),
        ports=tuple(_port(one) for one in fields.maps("ports")),
        devices=tuple(_device(one) for one in fields.maps("devices")),
        args=fields.texts("args"),
        command=fields.texts("command"),
        working_dir=fields.text("workingDir"),
        env=tuple(_variable(one) for one in fields.maps("env")),
        cpu=limits[0],
        memory=limits[1],
        requested_cpu=requests[0],
        requested_memory=requests[1],
        runtime=fields.text("runtime"),
        restart=_restart(fields.map("restart")),
        privileged=privileged,
        host_network=fields.flag("hostNetwork") or on_host,
        labels=fields.pairs("labels"),
        startup=_probe(fields.map("startupProbe")),
        liveness=_probe(fields.map("livenessProbe")),
        readiness=_probe(fields.map("readinessProbe")),
    )
    fields.end()
    return service


def _default_pull_policy(image: str) -> str:
    """As in Kubernetes: `:latest` and an image without tag are looked up each time."""
    last = image.rpartition("/")[2]
    if "@" in last:
        return "IfNotPresent"
    return "Always" if last.partition(":")[2] in {"", "latest"} else "IfNotPresent"


def _mount(fields: Fields, volumes: set[str]) -> MountDefinition:
    fields.ignore("immutable", "autoClean")  # files of old versions are always removed
    mount = MountDefinition(
        fields.text("name"),
        fields.text("mountPath"),
        fields.text("subPath"),
        fields.flag("readOnly"),
    )
    fields.end()
    if mount.volume not in volumes:
        raise SpecError(f"{fields.path}.name", f"no volume {mount.volume[:80]!r}")
    if not mount.path.startswith("/"):
        raise SpecError(f"{fields.path}.mountPath", "is not an absolute path")
    if mount.sub_path.startswith("/") or ".." in mount.sub_path.split("/"):
        raise SpecError(f"{fields.path}.subPath", "leads out of the volume")
    return mount


def _port(fields: Fields) -> PortDefinition:
    fields.choice("serviceType", ("ClusterIP",), "ClusterIP")
    path, number = fields.path, fields.plain("hostPort")
    port = PortDefinition(
        port_of(f"{path}.containerPort", fields.plain("containerPort")),
        port_of(f"{path}.hostPort", number) if number else None,
        fields.choice("protocol", ("TCP", "UDP", "tcp", "udp"), "TCP").lower(),
        fields.text("hostIP"),
    )
    fields.end()
    return port


def _device(fields: Fields) -> DeviceDefinition:
    fields.ignore("description")
    access = fields.choice("policy", tuple(DEVICE_ACCESS), "")
    device = DeviceDefinition(fields.text("devicePath"), DEVICE_ACCESS[access])
    fields.end()
    if not device.path.startswith("/"):
        raise SpecError(f"{fields.path}.devicePath", "is not an absolute path")
    return device


def _variable(fields: Fields) -> tuple[str, str]:
    pair = fields.text("name"), fields.text("value")
    fields.end()
    if not pair[0] or "=" in pair[0]:
        raise SpecError(f"{fields.path}.name", "is not the name of a variable")
    return pair


def _resources(fields: Fields) -> tuple[tuple[int, int], tuple[int, int]]:
    """CPU and memory, of `limits` and of `requests`."""
    resources, found = fields.map("resources"), []
    for part in ("limits", "requests"):
        quantities = resources.map(part) if resources else None
        if quantities is None:
            found.append((0, 0))
            continue
        cpu = nano_cpus_of(f"{quantities.path}.cpu", quantities.plain("cpu"))
        found.append((cpu, bytes_of(f"{quantities.path}.memory", quantities.plain("memory"))))
        quantities.end()
    if resources:
        resources.end()
    return found[0], found[1]


def _restart(fields: Fields | None) -> RestartRule:
    if fields is None:
        return RestartRule()
    policy = fields.choice("policy", RESTART_POLICIES, "Always")
    retry, backoff = fields.map("retry"), fields.map("backoff")
    fields.end()
    retries = retry.count("max", 0) if retry else None
    if retry:
        retry.end()
    if backoff is None:
        return RestartRule(policy, retries)
    default = RestartRule()
    first = duration_of(f"{backoff.path}.min", backoff.plain("min"), default.first_pause)
    longest = duration_of(f"{backoff.path}.max", backoff.plain("max"), default.longest_pause)
    factor = backoff.number("factor", default.factor)
    backoff.end()
    return RestartRule(
        policy, retries, first, max(first, longest), max(factor, 1.0), has_own_backoff=True
    )


def _probe(fields: Fields | None) -> ProbeDefinition | None:
    if fields is None:
        return None
    kinds = ("exec", "httpGet", "tcpSocket")
    found = [(kind, one) for kind in kinds for one in [fields.map(kind)] if one is not None]
    if len(found) != 1:
        raise SpecError(fields.path, f"needs exactly one of {', '.join(kinds)}")
    kind, check = found[0]
    default = ProbeDefinition(kind)
    probe = ProbeDefinition(
        kind,
        command=check.texts("command") if kind == "exec" else (),
        scheme=check.choice("scheme", ("HTTP", "HTTPS"), "HTTP") if kind == "httpGet" else "HTTP",
        host=check.text("host") if kind != "exec" else "",
        port=port_of(f"{check.path}.port", check.plain("port")) if kind != "exec" else 0,
        path=(check.text("path") or "/") if kind == "httpGet" else "/",
        headers=tuple(_header(one) for one in check.maps("httpHeaders")),
        initial_delay=fields.count("initialDelaySeconds", default.initial_delay),
        period=fields.count("periodSeconds", default.period) or default.period,
        timeout=fields.count("timeoutSeconds", default.timeout) or default.timeout,
        success_threshold=fields.count("successThreshold", 1) or 1,
        failure_threshold=fields.count("failureThreshold", 0) or default.failure_threshold,
    )
    check.end()
    fields.end()
    return probe


def _header(fields: Fields) -> tuple[str, str]:
    header = fields.text("name"), fields.text("value")
    fields.end()
    if not header[0].isprintable() or not header[1].isprintable():
        raise SpecError(fields.path, "is not a header")
    return header
