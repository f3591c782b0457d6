"""The files of apps where their instances see them, switched from version to version at once.

A volume is a directory in which `..data` leads to the files of one version, and each name leads
through it: replacing that one link replaces all files (as Kubernetes' AtomicWriter does), also in
containers that run. Configs lie in the agent's folder; secrets on a file system in memory, so that
they are gone when the machine is switched off.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Mapping, Sequence

from edgesync_agent.files import safe, write_private
from edgesync_agent.releases import Releases, folder_name
from edgesync_agent.runtime import TRIAL
from edgesync_agent.spec import AppDefinition, VolumeDefinition

DATA = "..data"
CONFIG_MODE, SECRET_MODE = 0o644, 0o444
"""Of files. Many images start as root and continue as another user, who has to read them as well;
on the machine only the agent's user can enter the folder above secrets."""

MEMORY_PLACES = ("/run", "/dev/shm")  # noqa: S108


class Volumes:
    """Volumes below *folder*, and below *secrets* on a file system in memory (`AppFiles`)."""

    def __init__(self, releases: Releases, folder: Path, secrets: Path) -> None:
        self.releases = releases
        self.folder = folder
        self.secrets = secrets

    def path(self, app: AppDefinition, volume: str, stage: str) -> str:
        """Directory that an instance mounts; that of a trial shows one version for ever."""
        place = self._place(app.name, app.volume(volume))
        return str(place / _data_name(app.version) if stage == TRIAL else place)

    def credentials(self, app: AppDefinition) -> Sequence[Mapping[str, str]]:
        """Address, user name and password of each registry."""
        return [self.releases.secret_texts(app, name) for name in app.registries]

    def prepare(self, app: AppDefinition) -> None:
        """Have the files of *app*'s version beside those that are shown. Raises OSError."""
        for volume in self._own(app):
            place = self._place(app.name, volume)
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._protect(volume)
            target = place / _data_name(app.version)
            if target.exists():
                continue
            new = place / f"..new-{folder_name(app.version)}"
            shutil.rmtree(new, ignore_errors=True)
            if volume.kind == "secret":
                _write(self.releases.secret_files(app, volume.source), new)
            else:
                _copy(self.releases.files(app, volume), new)
            os.replace(new, target)
            _sync(place)

    def switch(self, app: AppDefinition) -> None:
        """Have every volume show the files of *app*'s version. Raises OSError."""
        self.prepare(app)
        for volume in self._own(app):
            _show(self._place(app.name, volume), _data_name(app.version))
        shown = self.folder / safe(app.name)
        shown.mkdir(mode=0o700, parents=True, exist_ok=True)
        _link(shown / DATA, folder_name(app.version))

    def shown(self, app: AppDefinition) -> bool:
        """Whether that version is what all volumes show."""
        try:
            if os.readlink(self.folder / safe(app.name) / DATA) != folder_name(app.version):
                return False
            return all(
                os.readlink(self._place(app.name, volume) / DATA) == _data_name(app.version)
                and (self._place(app.name, volume) / DATA).is_dir()
                for volume in self._own(app)
            )
        except OSError:
            return False

    def forget(self, app: str) -> None:
        """Remove all files of an app."""
        for root in (self.folder, self.secrets):
            shutil.rmtree(root / safe(app), ignore_errors=True)

    def prune(self, app: str, versions: Sequence[str]) -> None:
        """Remove the files of all other versions than these."""
        stay = {_data_name(version) for version in versions}
        for root in (self.folder, self.secrets):
            with contextlib.suppress(OSError):
                for volume in (root / safe(app)).iterdir():
                    if volume.is_dir() and not volume.is_symlink():
                        _prune(volume, stay)

    def _own(self, app: AppDefinition) -> Sequence[VolumeDefinition]:
        """Volumes whose files are the agent's business, and that something mounts."""
        services = (*app.services, *app.init_services)
        mounted = {mount.volume for service in services for mount in service.mounts}
        return [
            one
            for one in app.volumes
            if one.kind in {"config", "secret"} and (one.name in mounted or one.source in mounted)
        ]

    def _place(self, app: str, volume: VolumeDefinition) -> Path:
        root = self.secrets if volume.kind == "secret" else self.folder
        return root / safe(app) / safe(volume.name)

    def _protect(self, volume: VolumeDefinition) -> None:
        """Only the agent's user can enter the folders above; what is mounted shows inside."""
        root = self.secrets if volume.kind == "secret" else self.folder
        os.chmod(root, 0o700)


def memory_folder(home: Path, places: Sequence[str] = MEMORY_PLACES) -> Path:
    """A folder of this agent's own on a file system in memory."""
    own = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    for place in (runtime, *places):
        if place and os.access(place, os.W_OK) and _is_in_memory(place):
            return Path(place) / f"edgesync-{own}"
    return home / "secrets"


def _is_in_memory(place: str) -> bool:
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/mounts").read_text().splitlines()
        kinds = {line.split()[1]: line.split()[2] for line in lines}
        path = os.path.realpath(place)
        while path not in kinds and path != "/":
            path = os.path.dirname(path)
        return kinds.get(path) in {"tmpfs", "ramfs"}
    return False


def _data_name(version: str) -> str:
    return f"..v-{folder_name(version)}"


def _write(files: Mapping[str, bytes], target: Path) -> None:
    """Write the files of a secret, on disk when it returns."""
    target.mkdir(mode=0o755)
    os.chmod(target, 0o755)  # noqa: S103  # the directory above is closed
    for name, data in files.items():
        write_private(target / name, data)
        os.chmod(target / name, SECRET_MODE)
    _sync(target)


def _copy(source: Path, target: Path) -> None:
    """Copy the tree of files of a config, on disk when it returns."""
    target.mkdir(mode=0o755)
    os.chmod(target, 0o755)  # noqa: S103  # the directory above is closed
    for one in sorted(source.iterdir()) if source.is_dir() else ():
        if one.is_dir():
            _copy(one, target / one.name)
            continue
        shutil.copyfile(one, target / one.name)
        os.chmod(target / one.name, 0o755 if os.access(one, os.X_OK) else CONFIG_MODE)
        with open(target / one.name, "rb") as file:
            os.fsync(file.fileno())
    _sync(target)


def _show(place: Path, name: str) -> None:
    """Switch the volume, then mend the names that lead into it."""
    _link(place / DATA, name)
    wanted = {one.name for one in (place / name).iterdir()}
    for one in sorted(wanted):
        if not (place / one).is_symlink():
            _link(place / one, f"{DATA}/{one}")
    for old in place.iterdir():
        if old.is_symlink() and not old.name.startswith("..") and old.name not in wanted:
            old.unlink()
    _sync(place)


def _link(path: Path, target: str) -> None:
    """Replace a link in one step."""
    new = path.with_name(f"..link-{path.name}")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(target)
    os.replace(new, path)
    _sync(path.parent)


def _prune(volume: Path, stay: set[str]) -> None:
    for one in volume.iterdir():
        is_data = one.name.startswith("..v-") and not one.is_symlink()
        if is_data and one.name not in stay:
            shutil.rmtree(one, ignore_errors=True)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
