"""Configs, secrets and volumes of a Compose file, as manifests, volumes and mounts."""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud.core.names import RESERVED
from edgesync.compose.source import ComposeFile, FieldPath
from edgesync.compose.values import size

FILE_LIMIT = 1024 * 1024
"""Bytes of one file that becomes part of a config."""

FILES_LIMIT = 100
"""Files of one directory that becomes a config."""

SECRETS_FOLDER = "/run/secrets"

_SHORT_MODES = frozenset({"rw", "ro", "z", "Z", "cached", "delegated", "consistent", "nocopy"})
_PROPAGATION = frozenset({"shared", "rshared", "slave", "rslave", "private", "rprivate"})


def valid_name(text: str) -> str:
    """*text* as a name of edgesync: lower-case letters, digits and dashes, 63 at most."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-").replace(RESERVED, "b")
    return name[:63].strip("-") or "x"


def valid_key(text: str) -> str:
    """*text* as the key of a config or secret."""
    return re.sub(r"[^-._a-zA-Z0-9]+", "_", text).lstrip(".")[:253] or "file"


@dataclass(frozen=True, slots=True)
class Mount:
    """The files that one service mounts, and where."""

    volume: str
    target: str
    sub_path: str = ""
    is_read_only: bool = False

    def manifest(self) -> dict[str, Any]:
        """The mount as a service has it."""
        mount: dict[str, Any] = {"name": self.volume, "mountPath": self.target}
        if self.sub_path:
            mount["subPath"] = self.sub_path
        if self.is_read_only:
            mount["readOnly"] = True
        return mount


@dataclass(slots=True)
class Files:
    """Makes what services mount; *volumes* are those of the app, *manifests* come before it.

    *volumes_folder* is where named volumes lie on a node.
    """

    source: ComposeFile
    app: str
    volumes_folder: str
    variables: Mapping[str, str]
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    manifests: dict[str, dict[str, Any]] = field(default_factory=dict)

    def mount(self, path: FieldPath, value: Any, service: str) -> Mount | None:
        """The mount that one item of `volumes:` of *service* becomes; None where it is lost."""
        if isinstance(value, dict):
            return self._long(path, value, service)
        text = self.source.text(path, value)
        parts = text.split(":")
        modes: list[str] = []
        if len(parts) > 1 and {*parts[-1].split(",")} <= _SHORT_MODES | _PROPAGATION:
            modes = parts.pop().split(",")
        for mode in _PROPAGATION.intersection(modes):
            self.source.lose(path, f"not carried over: mount propagation {mode}")
        if len(parts) == 1:
            return self._temporary(f"{service}-{parts[0]}", parts[0], {})
        if len(parts) != 2:
            raise self.source.error(path, f"{text[:80]!r} is not SOURCE:TARGET[:MODE]")
        is_bind = parts[0][:1] in {"/", ".", "~"}
        make = self._bind if is_bind else self._named
        return make(path, parts[0], parts[1], read_only="ro" in modes)

    def temporary(self, service: str, target: str, options: str = "") -> Mount:
        """A mount of memory, as `tmpfs:` has it; *options* such as `size=64m`."""
        empty: dict[str, Any] = {"medium": "Memory"}
        for option in options.split(","):
            name, _, value = option.partition("=")
            if name == "size":
                empty["sizeLimit"] = size(value)
        return self._temporary(f"{service}-{target}", target, empty)

    def _long(self, path: FieldPath, value: dict[str, Any], service: str) -> Mount | None:
        text = self.source.text
        kind = text((*path, "type"), value.get("type", "volume"))
        if "target" not in value:
            raise self.source.error(path, "`target` is missing")
        target = text((*path, "target"), value["target"])
        read_only = value.get("read_only") is True
        origin = text((*path, "source"), value.get("source", ""))
        match kind:
            case "bind" if origin:
                return self._bind(path, origin, target, read_only=read_only)
            case "volume" if origin:
                mount = self._named(path, origin, target, read_only=read_only)
                sub_path = self.source.mapping(path, value.get("volume")).get("subpath")
                if mount is not None and sub_path:
                    return Mount(mount.volume, target, str(sub_path), mount.is_read_only)
                return mount
            case "volume":
                return self._temporary(f"{service}-{target}", target, {})
            case "tmpfs":
                options = self.source.mapping(path, value.get("tmpfs"))
                limit = options.get("size")
                return self.temporary(service, target, f"size={limit}" if limit else "")
            case _:
                pass
        self.source.lose((*path, "type"), f"mounts of type {kind} do not exist on a node")
        return None

    def _temporary(self, name: str, target: str, empty: dict[str, Any]) -> Mount:
        volume = self._add_volume(name, {"emptyDir": empty})
        return Mount(volume, target)

    def _named(self, path: FieldPath, name: str, target: str, *, read_only: bool) -> Mount | None:
        known = self.source.mapping(("volumes",), self.source.data.get("volumes"))
        if name not in known:
            raise self.source.error(path, f"volume {name!r} is not in the top-level `volumes:`")
        options = self.source.mapping(("volumes", name), known[name])
        for key in options:
            if key in {"driver", "driver_opts", "external"} and options[key] not in (None, "local"):
                self.source.lose(("volumes", name, key), "the volume is a directory of the node")
        volume = valid_name(name)
        if volume not in self.volumes:
            folder = f"{self.volumes_folder}/{self.app}/{volume}"
            self._add_volume(volume, _host_path(folder, "DirectoryOrCreate"))
            self.source.differ(
                ("volumes", name),
                f"becomes the directory {folder} of the node; it starts empty and belongs to root",
            )
        return Mount(volume, target, is_read_only=read_only)

    def _bind(self, path: FieldPath, origin: str, target: str, *, read_only: bool) -> Mount | None:
        origin = self._below_project(origin)
        if origin.startswith("/"):
            volume = self._add_volume(f"host-{origin}", _host_path(origin))
            return Mount(volume, target, is_read_only=read_only)
        place = self._place(origin)
        if place.is_file():
            text = self._content(path, place)
            if text is None:
                return None
            if not read_only:
                self.source.differ(path, f"{origin} becomes a config, which services only read")
            key = valid_key(place.name)
            volume = self._config(path, origin, {key: text})
            return Mount(volume, target, key, is_read_only=True)
        if place.is_dir() and read_only:
            return self._folder(path, origin, place, target)
        volume = valid_name(origin)
        folder = f"{self.volumes_folder}/{self.app}/{volume}"
        if volume not in self.volumes:
            self._add_volume(volume, _host_path(folder, "DirectoryOrCreate"))
            content = ", without its present content" if place.is_dir() else ""
            self.source.differ(
                path, f"{origin} becomes the directory {folder} of the node{content}"
            )
        return Mount(volume, target, is_read_only=read_only)

    def _below_project(self, origin: str) -> str:
        """The path from the file's folder, where it leads into that.

        `docker compose config` writes absolute paths, which nodes do not have.
        """
        folder, place = self.source.file.parent.resolve(), Path(origin)
        if place.is_absolute() and folder != place and folder != Path("/"):
            with contextlib.suppress(ValueError):
                return f"./{place.relative_to(folder)}"
        return origin

    def _folder(self, path: FieldPath, origin: str, place: Path, target: str) -> Mount | None:
        data: dict[str, str] = {}
        for each in sorted(place.iterdir()):
            if not each.is_file():
                self.source.lose(path, f"{origin}/{each.name}: a config has no directories in it")
            elif valid_key(each.name) != each.name:
                self.source.lose(path, f"{origin}/{each.name}: a config cannot have this file name")
            elif len(data) >= FILES_LIMIT:
                self.source.lose(path, f"{origin}: more than {FILES_LIMIT} files; the rest is left")
                break
            elif (text := self._content(path, each)) is not None:
                data[each.name] = text
        return Mount(self._config(path, origin, data), target, is_read_only=True)

    def _place(self, origin: str) -> Path:
        path = Path(origin).expanduser()
        return path if path.is_absolute() else self.source.file.parent / path

    def _content(self, path: FieldPath, place: Path) -> str | None:
        """Text of a file; None, noted, where a config cannot hold it."""
        try:
            with place.open("rb") as file:
                content = file.read(FILE_LIMIT + 1)
        except OSError as error:
            raise self.source.error(path, f"{place}: {error.strerror}") from error
        if len(content) > FILE_LIMIT:
            self.source.lose(path, f"{place.name} has more than {FILE_LIMIT} bytes")
            return None
        try:
            return content.decode()
        except UnicodeDecodeError:
            self.source.lose(path, f"{place.name} is not UTF-8 text; use an object config")
            return None

    def _config(self, path: FieldPath, origin: str, data: dict[str, str]) -> str:
        name = valid_name(f"{self.app}-{origin}")
        items = [{"key": key, "value": {"type": "kv", "value": data[key]}} for key in data]
        self._add_manifest(path, {"kind": "Config", "name": name, "data": items})
        return self._add_volume(name, {"config": {"name": name}})

    # What stands in the top-level `configs:` and `secrets:`

    def granted(self, path: FieldPath, value: Any, *, section: str) -> Mount | None:
        """The mount that one item of `configs:` or `secrets:` of a service becomes."""
        text = self.source.text
        fields = value if isinstance(value, dict) else {"source": text(path, value)}
        name = text((*path, "source"), fields.get("source"))
        for key in ("uid", "gid", "mode"):
            if key in fields:
                self.source.lose((*path, key), "files belong to root and are read-only")
        target = text((*path, "target"), fields.get("target", name))
        if not target.startswith("/"):
            target = f"{SECRETS_FOLDER}/{target}" if section == "secrets" else f"/{target}"
        known = self.source.mapping((section,), self.source.data.get(section))
        if name not in known:
            raise self.source.error(path, f"{name!r} is not in the top-level `{section}:`")
        options = self.source.mapping((section, name), known[name])
        return self._grant(section, name, options, target)

    def _grant(self, section: str, name: str, options: dict[str, Any], target: str) -> Mount | None:
        path: FieldPath = (section, name)
        kind = "config" if section == "configs" else "secret"
        key = valid_key(name)
        if options.get("external"):
            own = valid_name(str(options.get("name") or name))
            self.source.differ(path, f"needs the {kind} {own!r} with the key {key!r} on the server")
            volume = self._add_volume(own, {kind: {"name": own}})
            return Mount(volume, target, key, is_read_only=True)
        content = self._granted_text(path, options)
        if content is None:
            return None
        own = valid_name(f"{self.app}-{name}")
        if kind == "secret":
            self._add_manifest(path, {"kind": "Secret", "name": own, "data": {key: content}})
        else:
            items = [{"key": key, "value": {"type": "kv", "value": content}}]
            self._add_manifest(path, {"kind": "Config", "name": own, "data": items})
        return Mount(self._add_volume(own, {kind: {"name": own}}), target, key, is_read_only=True)

    def _granted_text(self, path: FieldPath, options: dict[str, Any]) -> str | None:
        if "file" in options:
            return self._content(path, self._place(self.source.text(path, options["file"])))
        if "content" in options:
            return self.source.text(path, options["content"])
        if "environment" in options:
            variable = self.source.text(path, options["environment"])
            if variable not in self.variables:
                raise self.source.error(path, f"the variable {variable} is not set")
            return self.variables[variable]
        raise self.source.error(path, "needs one of file, content, environment and external")

    def _add_manifest(self, path: FieldPath, manifest: dict[str, Any]) -> None:
        key = f"{manifest['kind']} {manifest['name']}"
        if self.manifests.setdefault(key, manifest) != manifest:
            raise self.source.error(path, f"another {key} has different content; rename one")

    def _add_volume(self, name: str, content: dict[str, Any]) -> str:
        """Add a volume, or find the same one; its name."""
        base = name = valid_name(name)
        number = 1
        while self.volumes.setdefault(name, content) != content:
            number += 1
            name = f"{base[:59]}-{number}"
        return name


def _host_path(path: str, kind: str = "") -> dict[str, Any]:
    return {"hostPath": {"path": path, **({"type": kind} if kind else {})}}
