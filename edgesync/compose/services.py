"""One service of a Compose file as a service of an app."""

import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgesync.compose.files import Files, Mount
from edgesync.compose.source import ComposeFile, FieldPath
from edgesync.compose.values import PortMapping, port_range, seconds, short_ports, size
from edgesync.compose.variables import read_variables

RESTART = {
    "no": "Never",
    "false": "Never",
    "none": "Never",
    "never": "Never",
    "on-failure": "OnFailure",
    "always": "Always",
    "any": "Always",
    "unless-stopped": "Always",
}
PULL = {
    "always": "Always",
    "missing": "IfNotPresent",
    "if_not_present": "IfNotPresent",
    "never": "Never",
}
DEFAULT_INTERVAL, DEFAULT_TIMEOUT, DEFAULT_RETRIES = 30.0, 30.0, 3
"""Of a health check (Compose specification, "healthcheck")."""

# Without meaning for a node, or replaced by what an app has anyway.
_NO_MEANING = frozenset(
    {"container_name", "stdin_open", "tty", "attach", "develop", "annotations", "profiles"}
)


class ServiceConverter:
    """Converts services; *files* are those of the project, *variables* fill what has no value."""

    def __init__(self, source: ComposeFile, files: Files, variables: Mapping[str, str]) -> None:
        self._source = source
        self._files = files
        self._variables = variables
        self._fields: Mapping[str, Callable[[_Draft, FieldPath, Any], None]] = {
            "cap_add": self._lost("an app cannot add capabilities; `privileged` is all or nothing"),
            "command": self._command,
            "configs": self._configs,
            "cpus": self._cpus,
            "deploy": self._deploy,
            "devices": self._devices,
            "entrypoint": self._entrypoint,
            "env_file": self._env_file,
            "environment": self._environment,
            "expose": self._expose,
            "healthcheck": self._healthcheck,
            "hostname": self._text("hostname"),
            "image": self._text("image"),
            "labels": self._labels,
            "mem_limit": self._mem_limit,
            "network_mode": self._network_mode,
            "networks": self._networks,
            "ports": self._ports,
            "privileged": self._privileged,
            "pull_policy": self._pull_policy,
            "restart": self._restart,
            "scale": self._scale,
            "secrets": self._secrets,
            "tmpfs": self._tmpfs,
            "volumes": self._volumes,
            "working_dir": self._text("workingDir"),
        }

    def service(self, name: str, fields: dict[str, Any], image: str) -> dict[str, Any]:
        """The service *name*; *image* stands in for one that is only built."""
        path: FieldPath = ("services", name)
        draft = _Draft(name, {"name": name, "image": image}, {}, [])
        # Variables of files come before those of `environment`, which win.
        for key in sorted(fields, key=lambda one: (one != "env_file", one)):
            if key.startswith("x-") or key in _NO_MEANING or key in {"depends_on", "build"}:
                continue
            convert = self._fields.get(key)
            if convert is None:
                self._source.lose((*path, key), "not carried over: an app has nothing like it")
                continue
            try:
                convert(draft, (*path, key), fields[key])
            except ValueError as error:
                raise self._source.error((*path, key), str(error)) from error
        return draft.manifest()

    def _lost(self, why: str) -> "Callable[[_Draft, FieldPath, Any], None]":
        return lambda _draft, path, _value: self._source.lose(path, f"not carried over: {why}")

    def _text(self, field: str) -> "Callable[[_Draft, FieldPath, Any], None]":
        def convert(draft: _Draft, path: FieldPath, value: Any) -> None:
            draft.service[field] = self._source.text(path, value)

        return convert

    def _command(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        if value is not None:
            draft.service["args"] = self._words(path, value)

    def _entrypoint(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        if value is not None:
            draft.service["command"] = self._words(path, value)

    def _words(self, path: FieldPath, value: Any) -> list[str]:
        if isinstance(value, list):
            return list(self._source.texts(path, value))
        return shlex.split(self._source.text(path, value))

    def _environment(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        for at, name, content in self._source.pairs(path, value):
            self._set_variable(draft, at, name, content)

    def _env_file(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        for item in value if isinstance(value, list) else [value]:
            options = item if isinstance(item, dict) else {"path": self._source.text(path, item)}
            file = self._source.file.parent / str(options.get("path"))
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                if options.get("required") is False:
                    continue
                raise self._source.error(path, f"{file}: {error}") from error
            for name, content in read_variables(text, self._variables).items():
                self._set_variable(draft, path, name, content)

    def _set_variable(
        self, draft: "_Draft", path: FieldPath, name: str, content: str | None
    ) -> None:
        if content is None and name not in self._variables:
            self._source.lose(path, f"{name} has no value here, so it is not set")
            return
        draft.env[name] = self._variables[name] if content is None else content

    def _labels(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        pairs = self._source.pairs(path, value)
        draft.service["labels"] = {name: content or "" for _, name, content in pairs}

    def _expose(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        for text in self._source.texts(path, value):
            draft.ports += short_ports(text)

    def _ports(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        for at, item in self._source.items(path, value):
            if not isinstance(item, dict):
                draft.ports += short_ports(self._source.text(at, item))
                continue
            for key in item.keys() - {"target", "published", "host_ip", "protocol", "name"}:
                if not (key == "mode" and item[key] == "ingress"):
                    self._source.lose((*at, key), "not carried over: a port has nothing like it")
            target, published = str(item.get("target", "")), str(item.get("published", ""))
            ip, protocol = str(item.get("host_ip", "")), str(item.get("protocol", "tcp"))
            draft.ports += port_range(target, published, ip, protocol)

    def _volumes(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        for at, item in self._source.items(path, value):
            draft.add(self._files.mount(at, item, draft.name))

    def _tmpfs(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        for text in self._source.texts(path, value):
            target, _, options = text.partition(":")
            draft.add(self._files.temporary(draft.name, target, options))

    def _configs(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        for at, item in self._source.items(path, value):
            draft.add(self._files.granted(at, item, section="configs"))

    def _secrets(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        for at, item in self._source.items(path, value):
            draft.add(self._files.granted(at, item, section="secrets"))

    def _devices(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        devices = []
        for at, item in self._source.items(path, value):
            if isinstance(item, dict):
                parts = [str(item.get("source", "")), str(item.get("target", ""))]
                parts += [str(item["permissions"])] if "permissions" in item else []
            else:
                parts = self._source.text(at, item).split(":")
            if not parts[0].startswith("/dev/"):
                self._source.lose(at, "not carried over: a device is a path below /dev")
                continue
            if len(parts) > 1 and parts[1] not in {"", parts[0]}:
                self._source.differ(at, f"the service sees the device as {parts[0]}")
            device = {"devicePath": parts[0]}
            devices.append({**device, "policy": parts[2]} if len(parts) > 2 else device)
        draft.service["devices"] = devices

    def _healthcheck(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        check = self._source.mapping(path, value)
        test = check.get("test")
        if check.get("disable") is True or test in (["NONE"], None):
            return
        words = list(self._source.texts((*path, "test"), test))
        if isinstance(test, str) or words[:1] == ["CMD-SHELL"]:
            words = ["/bin/sh", "-c", words[-1]]
        elif words[:1] == ["CMD"]:
            words = words[1:]
        else:
            raise ValueError("test begins with CMD, CMD-SHELL or NONE")

        def duration(key: str, default: float) -> float:
            return seconds(str(check[key])) if key in check else default

        interval = duration("interval", DEFAULT_INTERVAL)
        retries = int(check.get("retries") or DEFAULT_RETRIES)
        probe: dict[str, Any] = {
            "exec": {"command": words},
            "periodSeconds": max(1, round(interval)),
            "timeoutSeconds": max(1, round(duration("timeout", DEFAULT_TIMEOUT))),
        }
        draft.service["readinessProbe"] = {**probe, "failureThreshold": retries}
        start = duration("start_period", 0.0)
        if start:
            period = max(1, round(duration("start_interval", min(interval, 5.0))))
            most = math.ceil((start + interval * retries) / period)
            startup = {**probe, "periodSeconds": period, "failureThreshold": most}
            draft.service["startupProbe"] = startup

    def _deploy(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        for key, part in self._source.mapping(path, value).items():
            at = (*path, key)
            match key:
                case "replicas":
                    draft.service["replica"] = int(part)
                case "resources":
                    self._resources(draft, at, self._source.mapping(at, part))
                case "restart_policy":
                    self._restart_policy(draft, at, self._source.mapping(at, part))
                case "mode" if part == "replicated":
                    pass
                case _:
                    self._source.lose(at, "not carried over: an app has nothing like it")

    def _resources(self, draft: "_Draft", path: FieldPath, value: dict[str, Any]) -> None:
        for key, field in (("limits", "limits"), ("reservations", "requests")):
            at = (*path, key)
            for name, amount in self._source.mapping(at, value.get(key)).items():
                if name == "cpus":
                    draft.limit(field, "cpu", str(amount))
                elif name == "memory":
                    draft.limit(field, "memory", size(str(amount)))
                else:
                    self._source.lose((*at, name), "not carried over: only cpus and memory are")

    def _cpus(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        draft.limit("limits", "cpu", self._source.text(path, value))

    def _mem_limit(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        draft.limit("limits", "memory", size(self._source.text(path, value)))

    def _scale(self, draft: "_Draft", _path: FieldPath, value: Any) -> None:
        draft.service["replica"] = int(value)

    def _restart(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        word, _, most = self._source.text(path, value).partition(":")
        self._set_restart(draft, path, word, int(most) if most else None)

    def _restart_policy(self, draft: "_Draft", path: FieldPath, value: dict[str, Any]) -> None:
        for key in value.keys() - {"condition", "max_attempts"}:
            self._source.lose((*path, key), "not carried over: pauses between restarts grow")
        attempts = value.get("max_attempts")
        condition = self._source.text(path, value.get("condition", "any"))
        self._set_restart(draft, path, condition, None if attempts is None else int(attempts))

    def _set_restart(self, draft: "_Draft", path: FieldPath, word: str, most: int | None) -> None:
        if word not in RESTART:
            raise self._source.error(path, f"{word[:40]!r} is none of: {', '.join(RESTART)}")
        restart: dict[str, Any] = {"policy": RESTART[word]}
        draft.service["restart"] = {**restart, **({"retry": {"max": most}} if most else {})}

    def _network_mode(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        if value == "host":
            draft.service["hostNetwork"] = True
        elif value not in {"bridge", "default"}:
            self._source.lose(path, "not carried over: services of an app share one network")

    def _networks(self, _draft: "_Draft", path: FieldPath, value: Any) -> None:
        names = list(value) if isinstance(value, dict | list) else []
        if names != ["default"] and names:
            self._source.differ(path, "all services of the app share one network")
        for name, options in value.items() if isinstance(value, dict) else ():
            for key in options or ():
                self._source.lose((*path, name, key), "not carried over: services have one name")

    def _privileged(self, draft: "_Draft", _path: FieldPath, value: Any) -> None:
        if value is True:
            draft.service["security"] = {"privileged": True}

    def _pull_policy(self, draft: "_Draft", path: FieldPath, value: Any) -> None:
        word = self._source.text(path, value)
        if word in PULL:
            draft.service["imagePullPolicy"] = PULL[word]
        else:
            self._source.lose(path, f"not carried over: a node does not {word[:20]}")


@dataclass(slots=True)
class _Draft:
    """A service while its fields are read."""

    name: str
    service: dict[str, Any]
    env: dict[str, str]
    ports: list[PortMapping]

    def add(self, mount: Mount | None) -> None:
        """Add a mount; one at the same place was there before and goes."""
        if mount is not None:
            mounts: list[dict[str, Any]] = self.service.setdefault("volumeMounts", [])
            mounts[:] = [one for one in mounts if one["mountPath"] != mount.target]
            mounts.append(mount.manifest())

    def limit(self, field: str, name: str, amount: str) -> None:
        """Set a limit or a request."""
        self.service.setdefault("resources", {}).setdefault(field, {})[name] = amount

    def manifest(self) -> dict[str, Any]:
        """The service as an app has it."""
        service = dict(self.service)
        if ports := _without_repeats(self.ports):
            service["ports"] = [port.manifest() for port in ports]
        if self.env:
            service["env"] = [{"name": name, "value": self.env[name]} for name in self.env]
        return {key: service[key] for key in service if service[key] not in ([], {}, "")}


def _without_repeats(ports: Iterable[PortMapping]) -> list[PortMapping]:
    """Each port once; one that is exposed is not listed again where it is published."""
    found = list(dict.fromkeys(ports))
    published = {(port.target, port.protocol) for port in found if port.published}
    return [
        port for port in found if port.published or (port.target, port.protocol) not in published
    ]
