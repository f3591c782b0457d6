"""The versions of apps on this machine's disk, whole or not at all.

    apps/desired.json         what the server wants, by name; for a start without a server
    apps/APP/memory.json      what is known of the app across starts (`situation.AppMemory`)
    apps/APP/VERSION/         one version: app.json, config/NAME/KEY, secret/NAME/KEY, objects.json;
                              and sealed/NAME for a secret that came sealed, which stays so

Secrets lie here with mode 0600 in a folder that the agent's user alone can enter, like its key:
without them nothing could start after a reboot without a server.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

from edgesync_agent.encryption import EncryptionKeys, UnknownKey, binding
from edgesync_agent.fields import SpecError
from edgesync_agent.files import replace_file, replace_folder, safe, write_private
from edgesync_agent.objects import OBJECT_PREFIX, StoredObjects
from edgesync_agent.parsing import read_app
from edgesync_agent.situation import AppMemory, Failure
from edgesync_agent.spec import AppDefinition, VolumeDefinition

MEMORY, BODY, OBJECTS = "memory.json", "app.json", "objects.json"
SEALED = "sealed"


def folder_name(version: str) -> str:
    """A name for the folder of a version, which may be any text."""
    try:
        return safe(version)
    except ValueError:
        return hashlib.sha256(version.encode()).hexdigest()[:32]


class Releases:
    """Versions of apps below *folder*; one thread writes them, others read."""

    def __init__(self, folder: Path, node_id: str = "", keys: EncryptionKeys | None = None) -> None:
        self.folder = folder
        self.node_id = node_id
        self.keys = keys  # None: nothing that is sealed can be opened
        self.apps: dict[tuple[str, str], AppDefinition] = {}  # that were read

    def put(self, body: Mapping[str, Any], values: Iterable[Mapping[str, Any]]) -> None:
        """Keep a version with its configs and secrets; OSError and ValueError where it cannot be.

        *values* are as `desire` delivers them. UnknownKey if one is sealed to a key of which the
        other half is not here.
        """
        name, version = safe(body["name"]), str(body["version"])
        place = self.folder / name
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=place))
        try:
            write_private(new / BODY, json.dumps(body, indent=1).encode())
            objects: list[dict[str, str]] = []
            for value in values:
                if "sealed" in value["value"]:
                    self._write_sealed(new, value["value"])
                else:
                    objects += _write_files(new, value["kind"], value["value"])
            write_private(new / OBJECTS, json.dumps(objects).encode())
            replace_folder(new, place / folder_name(version))
            _sync(place)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        self.apps.pop((name, version), None)

    def has(self, name: str, version: str) -> bool:
        """Whether that version is here."""
        return (self.folder / safe(name) / folder_name(version) / BODY).is_file()

    def app(self, name: str, version: str) -> AppDefinition:
        """A version that is here; SpecError names what cannot be honoured."""
        key = name, version
        if key not in self.apps:
            try:
                body = json.loads(self._place(name, version, BODY).read_text())
            except (OSError, ValueError) as error:
                raise SpecError("app", f"cannot be read: {error}") from error
            self.apps[key] = read_app(body)
        return self.apps[key]

    def find(self, name: str, version: str) -> AppDefinition | None:
        """A version that is here and can be honoured; None for any other, and for no version."""
        try:
            return self.app(name, version) if version else None
        except SpecError:
            return None

    def files(self, app: AppDefinition, volume: VolumeDefinition) -> Path:
        """Folder with the files of a config or secret."""
        return self._place(app.name, app.version, volume.kind) / safe(volume.source)

    def secret_files(self, app: AppDefinition, name: str) -> dict[str, bytes]:
        """The files of a secret in plain text; none where it is not here. OSError if it stays shut.

        They are for where they are mounted, and are kept nowhere else.
        """
        place = self._place(app.name, app.version)
        sealed = place / SEALED / safe(name)
        if sealed.is_file():
            return self._opened(sealed)
        folder = place / "secret" / safe(name)
        return {one.name: one.read_bytes() for one in folder.iterdir()} if folder.is_dir() else {}

    def secret_texts(self, app: AppDefinition, name: str) -> dict[str, str]:
        """As `secret_files`, as texts; none where they cannot be read."""
        with contextlib.suppress(OSError):
            files = self.secret_files(app, name)
            return {key: data.decode(errors="replace") for key, data in files.items()}
        return {}

    def secret_values(self) -> list[str]:
        """The texts of all secrets that are here."""
        found = set()
        for one in self.folder.glob("*/*/secret/*/*"):
            with contextlib.suppress(OSError):
                found.add(one.read_text(errors="replace"))
        for one in self.folder.glob(f"*/*/{SEALED}/*"):
            with contextlib.suppress(OSError):
                found.update(data.decode(errors="replace") for data in self._opened(one).values())
        return sorted(found)

    def keys_in_use(self) -> set[str]:
        """The encryption keys to which something is sealed that is here."""
        found = set()
        for one in self.folder.glob(f"*/*/{SEALED}/*"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found.add(str(json.loads(one.read_text())["sealed"]["key"]))
        return found

    def objects(self, app: AppDefinition) -> StoredObjects:
        """The files of a version that lie elsewhere."""
        place = self._place(app.name, app.version)
        with contextlib.suppress(OSError, ValueError):
            return StoredObjects(place, json.loads((place / OBJECTS).read_text()))
        return StoredObjects(place, [])

    def drop(self, name: str, version: str) -> None:
        """Have a version fetched anew."""
        shutil.rmtree(self.folder / safe(name) / folder_name(version), ignore_errors=True)
        self.apps.pop((name, version), None)

    def prune(self, name: str, versions: Sequence[str]) -> None:
        """Remove all other versions than these."""
        stay = {MEMORY, *(folder_name(version) for version in versions)}
        with contextlib.suppress(OSError):
            for one in (self.folder / safe(name)).iterdir():
                if one.name not in stay and not one.name.startswith(".new-"):
                    shutil.rmtree(one, ignore_errors=True)
        self.apps = {k: v for k, v in self.apps.items() if k[0] != name or k[1] in versions}

    def forget(self, name: str) -> None:
        """Remove all of an app."""
        shutil.rmtree(self.folder / safe(name), ignore_errors=True)
        self.apps = {key: app for key, app in self.apps.items() if key[0] != name}

    def names(self) -> list[str]:
        """Apps of which something is here."""
        with contextlib.suppress(OSError):
            return sorted(one.name for one in self.folder.iterdir() if one.is_dir())
        return []

    def memory(self, name: str) -> AppMemory:
        """The record of an app; empty where it cannot be read."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            found = json.loads((self.folder / safe(name) / MEMORY).read_text())
            failure = found.pop("failure", None)
            for key in ("finished", "held"):
                found[key] = tuple(found.get(key) or ())
            return AppMemory(**found, failure=Failure(**failure) if failure else None)
        return AppMemory()

    def remember(self, name: str, memory: AppMemory) -> None:
        """Keep what is known of an app; on disk when it returns."""
        place = self.folder / safe(name)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(place / MEMORY, json.dumps(asdict(memory)).encode())

    def desired(self) -> dict[str, str] | None:
        """Version of each app that the server wanted last; None where it never did."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found = json.loads((self.folder / "desired.json").read_text())
            return {safe(name): str(version) for name, version in found.items()}
        return None

    def keep_desired(self, versions: Mapping[str, str]) -> None:
        """Keep what the server wants; on disk when it returns."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self.folder / "desired.json", json.dumps(dict(versions)).encode())

    def _write_sealed(self, folder: Path, value: Mapping[str, Any]) -> None:
        """Keep the sealed body of a secret once it has shown that it opens; ValueError."""
        name = safe(value["name"])
        kept = {"sealed": value["sealed"], "info": binding(self.node_id, value)}
        _plain(self.keys, kept)
        (folder / SEALED).mkdir(mode=0o700, exist_ok=True)
        write_private(folder / SEALED / name, json.dumps(kept).encode())

    def _opened(self, path: Path) -> dict[str, bytes]:
        try:
            return _plain(self.keys, json.loads(path.read_text()))
        except (ValueError, KeyError, TypeError) as error:
            raise OSError(f"the secret {path.name} cannot be opened: {error}") from error

    def _place(self, name: str, version: str, *parts: str) -> Path:
        return self.folder.joinpath(safe(name), folder_name(version), *parts)


def _plain(keys: EncryptionKeys | None, kept: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a sealed secret; UnknownKey, or ValueError where it does not open."""
    if keys is None:
        raise UnknownKey("there are no keys to open it")
    data = keys.open(kept["sealed"], kept["info"])
    return {safe(key): base64.b64decode(text) for key, text in data.items()}


def _write_files(folder: Path, kind: str, value: Mapping[str, Any]) -> list[dict[str, str]]:
    """Write what a config or secret holds; what lies elsewhere is returned."""
    name = safe(value["name"])
    place = folder / ("secret" if kind == "secret" else "config") / name
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    objects = []
    for key, data in (value.get("data") or {}).items():
        if kind != "secret" and key.startswith(OBJECT_PREFIX):
            found = json.loads(data)
            words = {word: str(found.get(word) or "") for word in ("url", "md5", "unpack", "token")}
            objects.append({"config": name, "key": safe(key[len(OBJECT_PREFIX) :]), **words})
            continue
        content = base64.b64decode(data) if kind == "secret" else data.encode()
        write_private(place / safe(key), content)
    return objects


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
