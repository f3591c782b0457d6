"""The parts of a host process: its program, its directory and its environment.

The program is the file that `program.yml` names (`entry: bin/gateway`) in the config which is
mounted at `PROGRAM_PATH`, as stock Baetyl agents have it, or `command` of the service. A host
process has no file system of its own: what it mounts are links below its directory, so a mount at
`/etc/app` is `etc/app` there.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

from edgesync_agent.fields import SpecError
from edgesync_agent.runtime import AppFiles, FailureReason, RuntimeFailure, Slot
from edgesync_agent.spec import PROGRAM_PATH, AppDefinition, MountDefinition, ServiceDefinition

PROGRAM_FILE = "program.yml"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_ENTRY = re.compile(r"""^entry:[ \t]*(?P<quote>["']?)(?P<path>[^"'#\n]+?)(?P=quote)[ \t]*$""", re.M)


@dataclass(frozen=True)
class Recipe:
    """How to start an instance; *place* is the directory of its program where it has no command.

    *cpu* in 1e-9 cores and *memory* in bytes are limits; 0: none.
    """

    place: str
    command: Sequence[str]
    args: Sequence[str]
    working_dir: str
    environment: Mapping[str, str]
    cpu: int
    memory: int


def check_service(app: AppDefinition, service: ServiceDefinition, *, can_limit_cpu: bool) -> None:
    """SpecError names what a host process cannot have."""
    name = service.name
    if service.cpu and not can_limit_cpu:
        why = "this machine gives the agent no cgroup v2 with a limit for CPU time"
        raise SpecError(f"{name}.resources.limits.cpu", why)
    for field, given in (("hostname", service.hostname), ("runtime", service.runtime)):
        if given:
            raise SpecError(f"{name}.{field}", "a host process has none of its own")
    for port in service.ports:
        if port.host_port not in (None, 0, port.container_port):
            raise SpecError(
                f"{name}.ports", "none is mapped: a host process opens its ports itself"
            )
    for mount in service.mounts:
        volume = app.volume(mount.volume)
        if mount.read_only and volume.kind == "hostPath":
            raise SpecError(f"{name}.volumeMounts", "a host process can write to its host paths")
        if volume.size_limit:
            raise SpecError(f"{volume.name}.emptyDir.sizeLimit", "cannot be enforced on the host")
    if not service.command and _program_mount(service) is None:
        raise SpecError(f"{name}.programConfig", "is missing, and there is no command")


def recipe_of(
    app: AppDefinition, service: ServiceDefinition, files: AppFiles, slot: Slot, root: Path
) -> Recipe:
    """How to start an instance that runs in *root*; its files need not be there yet."""
    mount = None if service.command else _program_mount(service)
    return Recipe(
        place=_source(app, mount, files, slot) if mount else "",
        command=service.command,
        args=service.args,
        working_dir=service.working_dir,
        environment={
            "PATH": SEARCH_PATH,
            "HOME": str(root),
            "EDGESYNC_APP": app.name,
            "EDGESYNC_SERVICE": service.name,
            "EDGESYNC_REPLICA": str(slot.replica),
            **dict(service.env),
        },
        cpu=service.cpu,
        memory=service.memory,
    )


def argv_of(recipe: Recipe, root: Path) -> Sequence[str]:
    """The command line, now; RuntimeFailure if there is no such program."""
    if recipe.command:
        program, *arguments = recipe.command
        found = _below(root, program) or shutil.which(program, path=SEARCH_PATH)
    else:
        program, arguments = _entry_in(Path(recipe.place)), []
        found = _entry(Path(recipe.place), program)
    if not found:
        raise RuntimeFailure(FailureReason.START, f"there is no program {program!r}")
    _make_executable(Path(found))
    return [found, *arguments, *recipe.args]


def directory_of(recipe: Recipe, root: Path) -> str:
    """Where the process starts: its own directory, or what `workingDir` names."""
    if not recipe.working_dir:
        return str(root)
    return _below(root, recipe.working_dir) or recipe.working_dir


def link_mounts(
    app: AppDefinition, service: ServiceDefinition, files: AppFiles, slot: Slot, root: Path
) -> None:
    """Make a link below *root* for each mount; RuntimeFailure where one is in the other's way."""
    for mount in sorted(service.mounts, key=lambda one: one.path):
        place = root / os.path.normpath(mount.path).lstrip("/")
        source = _source(app, mount, files, slot)
        _make_host_path(app, mount, source)
        try:
            if any(parent.is_symlink() for parent in place.parents):
                raise FileExistsError("it is inside another mount")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source)
        except OSError as error:
            why = f"{service.name}.volumeMounts: {mount.path} cannot be linked: {error}"
            raise RuntimeFailure(FailureReason.REFUSED, why) from error


def _make_host_path(app: AppDefinition, mount: MountDefinition, source: str) -> None:
    volume = app.volume(mount.volume)
    if volume.kind == "hostPath" and not os.path.exists(source):
        if volume.path_type not in ("", "DirectoryOrCreate"):
            raise RuntimeFailure(FailureReason.START, f"there is no {volume.path_type} {source}")
        os.makedirs(source, exist_ok=True)


def _program_mount(service: ServiceDefinition) -> MountDefinition | None:
    return next((mount for mount in service.mounts if mount.path == PROGRAM_PATH), None)


def _source(app: AppDefinition, mount: MountDefinition, files: AppFiles, slot: Slot) -> str:
    volume = app.volume(mount.volume)
    if volume.kind == "hostPath":
        source = volume.source
    else:
        source = files.path(app, volume.name, slot.stage)
    return os.path.join(source, mount.sub_path) if mount.sub_path else source


def _entry_in(place: Path) -> str:
    try:
        text = (place / PROGRAM_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RuntimeFailure(
            FailureReason.START, f"no {PROGRAM_FILE} can be read: {error}"
        ) from error
    found = _ENTRY.search(text)
    if not found:
        raise RuntimeFailure(FailureReason.START, f"{PROGRAM_FILE} has no line `entry: FILE`")
    return found.group("path").strip()


def _entry(place: Path, entry: str) -> str | None:
    """The file of an entry: below the directory of the program, else an absolute path."""
    inside = os.path.normpath(os.path.join(str(place), entry.lstrip("/")))
    if inside.startswith(f"{os.path.normpath(str(place))}/") and os.path.isfile(inside):
        return inside
    return entry if os.path.isabs(entry) and os.path.isfile(entry) else None


def _below(root: Path, path: str) -> str | None:
    """*path* below the directory of the instance, where that is there."""
    inside = os.path.normpath(os.path.join(str(root), path.lstrip("/")))
    is_inside = "/" in path and inside.startswith(f"{root}/") and os.path.exists(inside)
    return inside if is_inside else None


def _make_executable(program: Path) -> None:
    mode = program.stat().st_mode
    if not mode & stat.S_IXUSR and os.geteuid() == program.stat().st_uid:
        program.chmod(mode | stat.S_IXUSR)
