"""Apps as containers of Docker or Podman: the `Runtime` of apps in mode `kube`."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence, TypeVar

from edgesync_agent import container_spec as naming
from edgesync_agent.abilities import (
    Abilities,
    abilities_of,
    check_for_engine,
    has_resources,
)
from edgesync_agent.checks import check_http, check_tcp
from edgesync_agent.engine import Engine, EngineRefusal, demultiplexed
from edgesync_agent.fields import SpecError
from edgesync_agent.images import Images
from edgesync_agent.inspection import LOCAL, Reachability, instance_of, memory_of, reach_of
from edgesync_agent.runtime import (
    RUNNING,
    TRIAL,
    AppFiles,
    Create,
    FailureReason,
    Instance,
    InstanceStep,
    InstanceUsage,
    Remove,
    RuntimeFailure,
    Slot,
    Start,
    Stop,
)
from edgesync_agent.situation import service_of
from edgesync_agent.spec import AppDefinition, ProbeDefinition, VolumeDefinition

LOG_BEAT = 1.0  # seconds after which who follows a log is given a chance to end
CHANGE_SECONDS = 60.0  # for an engine to create, start or remove a container
LOOK_ATTEMPTS, LOOK_PAUSE = 4, 0.1  # seconds, while a container changes its state
OUTPUT_LIMIT = 65536  # bytes of a check's output that are read
FILE_TYPES = {
    "Directory": os.path.isdir,
    "File": os.path.isfile,
    "Socket": os.path.exists,
    "CharDevice": os.path.exists,
    "BlockDevice": os.path.exists,
}

T = TypeVar("T")


class Containers:
    """Containers of *engine* that bear the labels of *node*; *folder* is the agent's own."""

    def __init__(
        self, engine: Engine, node: str, folder: Path, *, stop_seconds: int = naming.STOP_SECONDS
    ) -> None:
        self.engine = engine
        self.stop_seconds = stop_seconds  # from SIGTERM to SIGKILL
        self.node = node
        self.lock = threading.Lock()  # Docker makes two networks of a name when asked at once
        self.images = Images(engine, folder / "images.json")
        self.version = engine.seen_version or engine.version()
        self.is_rootless = engine.owner() != 0
        # What was seen of each container at the last look: how to reach it.
        self.networks: dict[str, Reachability] = {}
        # CPU seconds that each container had used, and when.
        self.used: dict[str, tuple[float, float]] = {}
        self._remove_trial_volumes()  # of an agent that ended before it did that

    def describe(self) -> str:
        """Name and version, as Kubernetes writes them."""
        name = "podman" if self.engine.is_podman else "docker"
        return f"{name}://{self.version.get('Version', '')}"

    def observe(self) -> Sequence[Instance]:
        """Every container of this node."""
        query = {"all": True, "filters": {"label": [f"{naming.NODE}={self.node}"]}}
        found = []
        networks = {}
        for one in _looked(lambda: self.engine.call("GET", "/containers/json", query=query)) or ():
            seen = self._inspect(str(one["Id"]))
            instance = instance_of(seen) if seen else None
            if instance is not None:
                found.append(instance)
                networks[instance.key] = reach_of(seen)
        self.networks = networks
        return found

    def _inspect(self, key: str) -> dict[str, Any]:
        """The engine's record of a container; empty for one that has gone."""

        def look() -> dict[str, Any]:
            try:
                return self.engine.call("GET", f"/containers/{key}/json", allow=(404,)) or {}
            except EngineRefusal as error:
                if "no such container" in str(error):
                    return {}
                raise

        return _looked(look)

    def missing(self, app: AppDefinition) -> Sequence[str]:
        """Images that are not here."""
        images = {one.image for one in (*app.services, *app.init_services)}
        return sorted(image for image in images if not self.images.id_of(image))

    def fetch(self, app: AppDefinition, files: AppFiles) -> None:
        """Pull its images; refuses before that what an engine cannot do."""
        self._check(app, files)
        credentials = files.credentials(app)
        for service in (*app.services, *app.init_services):
            self.images.bring(service.image, service.pull_policy, credentials)

    def carry_out(self, step: InstanceStep, app: AppDefinition | None, files: AppFiles) -> None:
        """Create, start, stop or remove a container."""
        if isinstance(step, Create):
            if app is None:
                raise RuntimeFailure(FailureReason.ENGINE, "the version is not here")
            self._create(step.slot, app, files)
        elif isinstance(step, Start):
            self._start(step.instance)
        elif isinstance(step, Stop):
            seconds = self.stop_seconds
            path = f"/containers/{step.instance.key}/stop"
            limit = CHANGE_SECONDS + seconds
            query = {"t": seconds}
            self.engine.call("POST", path, query=query, seconds=limit, allow=(304, 404))
        elif isinstance(step, Remove):
            self._remove(step.instance)

    def forget(self, app: str) -> None:
        """Remove network and volumes of an app."""
        label = [f"{naming.NODE}={self.node}", f"{naming.APP}={app}"]
        query = {"filters": {"label": label}}
        for one in self.engine.call("GET", "/networks", query=query) or ():
            if _is_of(one, self.node, app):
                self.engine.call("DELETE", f"/networks/{one['Name']}", allow=(404,))
        found = self.engine.call("GET", "/volumes", query=query) or {}
        for one in found.get("Volumes") or ():
            if _is_of(one, self.node, app):
                self.engine.call("DELETE", f"/volumes/{one['Name']}", allow=(404,))

    def check(self, instance: Instance, probe: ProbeDefinition) -> str:
        """Carry out one check of a probe."""
        if probe.kind == "exec":
            return self._exec(instance, probe)
        address, port = self._address(instance, probe)
        if not address:
            return "the container has no address"
        if probe.kind == "tcpSocket":
            return check_tcp(address, port, probe.timeout)
        return check_http(address, port, probe)

    def engine_health(self, instance: Instance) -> str:
        """The state of the image's HEALTHCHECK: healthy, starting, unhealthy; empty for none."""
        return self.networks[instance.key].health if instance.key in self.networks else ""

    def logs(
        self, instance: Instance, *, lines: int, since: float = 0.0, follow: float = 0.0
    ) -> Iterator[bytes]:
        """The output of a container, both streams in the order in which they came."""
        query = {"stdout": True, "stderr": True, "tail": lines, "follow": follow > 0}
        if since:
            query["since"] = int(since)
        total = follow or CHANGE_SECONDS
        path = f"/containers/{instance.key}/logs"
        beat = LOG_BEAT if follow else 0.0
        pieces = self.engine.stream("GET", path, query=query, total=total, beat=beat)
        yield from demultiplexed(pieces)

    def usage(self, instances: Sequence[Instance]) -> Mapping[str, InstanceUsage]:
        """CPU since the last call, and memory without the file cache.

        Without groups of their own, an engine gives figures of the machine for its containers:
        they are left out.
        """
        if self.is_rootless and not abilities_of(self.engine, is_rootless=True).can_measure:
            return {}
        found, used = {}, {}
        for one in instances:
            if one.state != RUNNING:
                continue
            with contextlib.suppress(RuntimeFailure):
                path = f"/containers/{one.key}/stats"
                query = {"stream": False, "one-shot": True}
                stats = self.engine.call("GET", path, query=query) or {}
                seconds = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)
                now, total = time.monotonic(), seconds / 1e9
                before = self.used.get(one.key, (total, now - 1))
                used[one.key] = total, now
                cpu = max(total - before[0], 0.0) / max(now - before[1], 0.001)
                found[one.key] = InstanceUsage(cpu, memory_of(stats.get("memory_stats", {})))
        self.used = used
        return found

    def prune(self, apps: Sequence[AppDefinition]) -> None:
        """Remove images that this agent pulled and no version needs."""
        services = [one for app in apps for one in (*app.services, *app.init_services)]
        self.images.prune(service.image for service in services)

    # making containers

    def _abilities(self, app: AppDefinition) -> Abilities:
        """Those that matter to *app*; Podman starts a dozen programs to answer `/info`."""
        if self.is_rootless or has_resources(app):
            return abilities_of(self.engine, is_rootless=self.is_rootless)
        return Abilities(is_podman=self.engine.is_podman)

    def _check(self, app: AppDefinition, files: AppFiles) -> None:
        try:
            check_for_engine(app, self._abilities(app))
            for slot in _all_slots(app):
                self._body(app, slot, files)
        except SpecError as error:
            raise RuntimeFailure(FailureReason.REFUSED, str(error)) from error

    def _body(self, app: AppDefinition, slot: Slot, files: AppFiles) -> dict[str, Any]:
        def place(app: AppDefinition, volume: VolumeDefinition, stage: str) -> str:
            if volume.kind == "hostPath":
                return volume.source
            if volume.kind == "emptyDir":
                return self._volume_name(app.name, volume, stage)
            return files.path(app, volume.name, stage)

        return naming.container_body(
            app,
            slot,
            self.node,
            place,
            is_podman=self.engine.is_podman,
            is_rootless=self.is_rootless,
            stop_seconds=self.stop_seconds,
        )

    def _create(self, slot: Slot, app: AppDefinition, files: AppFiles) -> None:
        name = naming.container_name(self.node, slot)
        there = self.engine.call("GET", f"/containers/{name}/json", allow=(404,))
        if there is not None:
            found = instance_of(there)
            labels = (there.get("Config") or {}).get("Labels") or {}
            if found is not None and found.slot == slot and labels.get(naming.NODE) == self.node:
                return
            raise RuntimeFailure(FailureReason.ENGINE, f"another owner has a container {name}")
        try:
            body = self._body(app, slot, files)
        except SpecError as error:
            raise RuntimeFailure(FailureReason.REFUSED, str(error)) from error
        service = service_of(app, slot)
        with self.lock:
            for mount in service.mounts:
                self._provide(app, app.volume(mount.volume), slot.stage)
            if not service.host_network:
                self._provide_network(app.name)
        path = "/containers/create"
        self.engine.call("POST", path, body, query={"name": name}, seconds=CHANGE_SECONDS)

    def _provide(self, app: AppDefinition, volume: VolumeDefinition, stage: str) -> None:
        """Have the source of a mount there; RuntimeFailure where it cannot be."""
        if volume.kind == "hostPath":
            _provide_host_path(volume)
        if volume.kind != "emptyDir" or naming.is_own_memory(app, volume):
            return
        name = self._volume_name(app.name, volume, stage)
        labels = {naming.NODE: self.node, naming.APP: app.name, naming.STAGE: stage}
        body: dict[str, Any] = {"Name": name, "Labels": labels, "Driver": "local"}
        if volume.in_memory:
            size = f",size={volume.size_limit}" if volume.size_limit else ""
            body["DriverOpts"] = {"type": "tmpfs", "device": "tmpfs", "o": f"mode=1777{size}"}
        made = self.engine.call("POST", "/volumes/create", body) or {}
        if not volume.in_memory:  # any user of the containers may write, as in Kubernetes
            with contextlib.suppress(OSError):
                os.chmod(str(made.get("Mountpoint", "")), 0o777)  # noqa: S103

    def _volume_name(self, app: str, volume: VolumeDefinition, stage: str) -> str:
        part = f"{volume.name}-{TRIAL}" if stage == TRIAL else volume.name
        if volume.in_memory:
            part += f"-{volume.size_limit}"
        return naming.app_object_name(self.node, app, part)

    def _provide_network(self, app: str) -> None:
        name = naming.app_object_name(self.node, app)
        found = self.engine.call("GET", f"/networks/{name}", allow=(404,))
        if found is None:
            labels = {naming.NODE: self.node, naming.APP: app}
            body = {"Name": name, "CheckDuplicate": True, "Driver": "bridge", "Labels": labels}
            self.engine.call("POST", "/networks/create", body, allow=(409,))
        elif not _is_of(found, self.node, app):
            raise RuntimeFailure(FailureReason.ENGINE, f"another owner has a network {name}")

    def _start(self, instance: Instance) -> None:
        path = f"/containers/{instance.key}/start"
        try:
            self.engine.call("POST", path, seconds=CHANGE_SECONDS, allow=(304,))
        except EngineRefusal as error:
            reason = error.reason if error.reason == FailureReason.PORT else FailureReason.START
            raise RuntimeFailure(reason, f"cannot start: {error}") from error

    def _remove(self, instance: Instance) -> None:
        path = f"/containers/{instance.key}"
        query = {"force": True, "v": True}
        self.engine.call("DELETE", path, query=query, seconds=CHANGE_SECONDS, allow=(404, 409))
        if instance.slot.stage == TRIAL:
            self._remove_trial_volumes(instance.slot.app)

    def _remove_trial_volumes(self, app: str = "") -> None:
        """Remove the volumes of trials whose containers are gone, of one app or of all."""
        query = {"filters": {"label": [f"{naming.NODE}={self.node}"]}}
        found = self.engine.call("GET", "/volumes", query=query) or {}
        for one in found.get("Volumes") or ():
            labels = one.get("Labels") or {}
            if labels.get(naming.STAGE) == TRIAL and app in {"", labels.get(naming.APP)}:
                with contextlib.suppress(EngineRefusal):  # it is in use
                    self.engine.call("DELETE", f"/volumes/{one['Name']}", allow=(404,))

    # looking into containers

    def _address(self, instance: Instance, probe: ProbeDefinition) -> tuple[str, int]:
        if probe.host:
            return probe.host, probe.port
        reach = self.networks.get(instance.key, Reachability())
        if reach.address == LOCAL:
            return LOCAL, probe.port
        if self.is_rootless:
            return LOCAL, reach.ports.get(probe.port, probe.port)
        return reach.address, probe.port

    def _exec(self, instance: Instance, probe: ProbeDefinition) -> str:
        body = {"Cmd": list(probe.command), "AttachStdout": True, "AttachStderr": True}
        try:
            made = self.engine.call("POST", f"/containers/{instance.key}/exec", body)
            own = made["Id"]
            started = {"Detach": False, "Tty": False}
            output, began = b"", time.monotonic()
            seconds = float(probe.timeout)
            pieces = self.engine.stream(
                "POST", f"/exec/{own}/start", started, seconds=seconds, total=seconds
            )
            for piece in demultiplexed(pieces):
                output = (output + piece)[-OUTPUT_LIMIT:]
            if time.monotonic() - began >= seconds:
                return f"the command took longer than {probe.timeout} s"
            code = (self.engine.call("GET", f"/exec/{own}/json") or {}).get("ExitCode")
        except RuntimeFailure as error:
            return str(error)
        words = output.decode(errors="replace").strip()[-200:]
        return "" if code == 0 else f"the command exited with code {code}: {words}".rstrip(": ")


def _all_slots(app: AppDefinition) -> Iterator[Slot]:
    for stage, services in (("live", app.services), ("init", app.init_services)):
        for service in services:
            yield Slot(app.name, service.name, 0, stage, "")


def _is_of(one: Mapping[str, Any], node: str, app: str) -> bool:
    labels = one.get("Labels") or {}
    return labels.get(naming.NODE) == node and labels.get(naming.APP) == app


def _provide_host_path(volume: VolumeDefinition) -> None:
    path, kind = Path(volume.source), volume.path_type
    try:
        if kind in {"", "DirectoryOrCreate"} and not path.exists():
            path.mkdir(mode=0o755, parents=True)
        elif kind == "FileOrCreate" and not path.exists():
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.touch(mode=0o644)
    except OSError as error:
        raise RuntimeFailure(FailureReason.START, f"hostPath {path}: {error.strerror}") from error
    is_right = FILE_TYPES.get(kind, os.path.exists)
    if not is_right(volume.source):
        raise RuntimeFailure(
            FailureReason.START, f"hostPath {path} is no {kind or 'path'} of the node"
        )


def _looked(look: Callable[[], T]) -> T:
    """What *look* returns.

    Podman answers 500 while a container ends or is removed, also where it lists all, with what it
    did not find; a moment later it describes the container, or reports that there is none.
    """
    for _ in range(LOOK_ATTEMPTS - 1):
        try:
            return look()
        except EngineRefusal as error:
            if error.status < 500:
                raise
        time.sleep(LOOK_PAUSE)
    return look()
