"""The policy of this machine's owner for the server; it takes precedence over every app.

The file is `/etc/edgesync/agent.toml`, or `edgesync/agent.toml` below the user's configuration
directory where that is missing. A key that is left out allows. A file that is there and cannot be
read refuses everything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Mapping, Optional, Tuple

from edgesync_agent.spec import NATIVE, AppDefinition, ServiceDefinition
from edgesync_agent.toml import TomlError, read_toml

SYSTEM_FILE = Path("/etc/edgesync/agent.toml")

_List = Optional[Tuple[str, ...]]


@dataclass(frozen=True)
class Policy:
    """The permissions; a list that is None allows everything of its kind.

    *broken* states why the file cannot be used: then nothing is allowed.
    """

    containers: bool = True
    host_processes: bool = True
    privileged: bool = True
    host_network: bool = True
    host_paths: _List = None  # these, and what is below them
    devices: _List = None
    images: _List = None  # beginnings of names of images
    commands: _List = None
    updates: bool = True  # of the agent itself
    broken: str = ""

    def refusal(self, app: AppDefinition) -> str:
        """Why *app* may not run here; empty where it may."""
        if self.broken:
            return self.broken
        if app.mode == NATIVE and not self.host_processes:
            return _refused("host processes", "host-processes")
        if app.mode != NATIVE and not self.containers:
            return _refused("containers", "containers")
        for volume in app.volumes:
            if volume.kind == "hostPath" and not _is_below(volume.source, self.host_paths):
                return _refused(f"the host path {volume.source}", "host-paths")
        refusals = (self._of_service(one, app.mode) for one in _services(app))
        return next(filter(None, refusals), "")

    def refuses_command(self, command: str) -> str:
        """Why the agent may not carry out *command*; empty where it may."""
        if self.broken:
            return self.broken
        if self.commands is not None and command not in self.commands:
            return _refused(f"the command {command}", "commands")
        if command == "update" and not self.updates:
            return _refused("updates of the agent", "updates")
        return ""

    def _of_service(self, service: ServiceDefinition, mode: str) -> str:
        if service.privileged and not self.privileged:
            return _refused(f"{service.name}: privileged", "privileged")
        if mode != NATIVE and service.host_network and not self.host_network:
            return _refused(f"{service.name}: the network of the host", "host-network")
        for device in service.devices:
            if self.devices is not None and device.path not in self.devices:
                return _refused(f"{service.name}: the device {device.path}", "devices")
        is_allowed = self.images is None or any(map(service.image.startswith, self.images))
        if mode != NATIVE and not is_allowed:
            return _refused(f"{service.name}: the image {service.image}", "images")
        return ""


class PolicyFile:
    """The policy of the current file; read again when that changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: Any = ()  # the stat of the last read
        self._policy = Policy()

    def current(self) -> Policy:
        """The policy of this moment."""
        try:
            status = os.stat(self.path)
            seen: Any = (status.st_mtime_ns, status.st_ino, status.st_size)
        except FileNotFoundError:
            seen = None
        except OSError as error:
            return Policy(broken=_broken(self.path, error))
        if seen != self._seen:
            self._policy = Policy() if seen is None else self._read()
            self._seen = seen
        return self._policy

    def _read(self) -> Policy:
        try:
            return policy_of(read_toml(self.path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, TomlError) as error:
            return Policy(broken=_broken(self.path, error))


def policy_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the policy of this machine stands: the system's file, or the user's."""
    if environment.get("EDGESYNC_POLICY"):
        return Path(environment["EDGESYNC_POLICY"])
    if SYSTEM_FILE.exists() or os.geteuid() == 0:
        return SYSTEM_FILE
    base = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(base) / "edgesync" / "agent.toml"


def policy_of(settings: Mapping[str, Any]) -> Policy:
    """The policy of *settings*; TomlError names a key that is not known or has a wrong value."""
    known = {one.name.replace("_", "-"): one for one in fields(Policy) if one.name != "broken"}
    chosen: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known:
            raise TomlError(f"{key} is none of {', '.join(known)}")
        default = known[key].default
        kind: type = list if default is None else type(default)
        if type(value) is not kind:
            word = {list: "a list of texts", bool: "true or false", str: "a text"}[kind]
            raise TomlError(f"{key} is not {word}")
        chosen[known[key].name] = tuple(value) if isinstance(value, list) else value
    return Policy(**chosen)


def _services(app: AppDefinition) -> tuple[ServiceDefinition, ...]:
    return (*app.init_services, *app.services)


def _is_below(path: str, allowed: _List) -> bool:
    """Whether *path* is one of *allowed* or below one, once symbolic links are followed."""
    if allowed is None:
        return True
    real = os.path.realpath(path)
    return any(real == top or real.startswith(top.rstrip("/") + "/") for top in _real(allowed))


def _real(paths: tuple[str, ...]) -> list[str]:
    return [os.path.realpath(path) for path in paths]


def _refused(what: str, key: str) -> str:
    return f"the policy of this machine refuses {what} ({key})"


def _broken(path: Path, error: Exception) -> str:
    return f"the policy of this machine cannot be read, so it refuses everything: {path}: {error}"
