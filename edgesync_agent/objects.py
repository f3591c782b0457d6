"""Files of configs that lie elsewhere: fetched, checked, unpacked (docs/protocol.md, "Desire")."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tarfile
import urllib.request
import zipfile
from pathlib import Path
from typing import IO, Any, Iterator, Mapping, Sequence

from edgesync_agent.files import safe
from edgesync_agent.runtime import FailureReason, RuntimeFailure

OBJECT_PREFIX = "_object_"
PATIENCE = 60.0  # seconds for the next piece
OBJECT_LIMIT = 4 * 1024**3  # bytes of one file, and of all that is unpacked from it
PIECE = 1024 * 1024


class ObjectFailure(RuntimeFailure):
    """A file did not arrive; its URL may be too old."""

    def __init__(self, name: str, why: object) -> None:
        super().__init__(FailureReason.ENGINE, f"cannot download {name}: {why}")


class StoredObjects:
    """The files of one version in *folder* that lie elsewhere."""

    def __init__(self, folder: Path, objects: Sequence[Mapping[str, str]]) -> None:
        self.folder = folder
        self.objects = objects

    def missing(self) -> Sequence[Mapping[str, str]]:
        """Those that are not here yet."""
        return [one for one in self.objects if not self._mark(one).exists()]

    def fetch(self) -> None:
        """Bring those that are missing; ObjectFailure, and OSError where the disk refuses."""
        for one in self.missing():
            place = self.folder / "config" / safe(one["config"])
            file = self.folder / f".new-{safe(one['key'])}"
            try:
                _download(one, file)
                _put(file, place, one)
            finally:
                if file.exists():
                    file.unlink()
            self._mark(one).touch()

    def _mark(self, one: Mapping[str, str]) -> Path:
        return self.folder / f".here-{safe(one['config'])}-{safe(one['key'])}"


def _download(one: Mapping[str, str], file: Path) -> None:
    name, digest = one["key"], _md5()
    if not one["url"].startswith(("https://", "http://")):
        raise ObjectFailure(name, "its URL is neither https nor http")
    request = urllib.request.Request(one["url"])
    if one.get("token"):
        request.add_header("x-bce-security-token", one["token"])
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer, open(file, "wb") as out:
            for piece in _pieces(answer):
                digest.update(piece)
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
    except (OSError, ValueError) as error:
        raise ObjectFailure(name, error) from error
    wanted = one.get("md5", "")
    if wanted and wanted not in {digest.hexdigest(), base64.b64encode(digest.digest()).decode()}:
        raise ObjectFailure(name, "its MD5 is another one")


def _md5() -> Any:
    """The digest that stores give; it finds damage, not attacks."""
    return hashlib.new("md5")  # noqa: S324


def _pieces(answer: IO[bytes]) -> Iterator[bytes]:
    left = OBJECT_LIMIT
    while True:
        piece = answer.read(PIECE)
        if not piece:
            return
        left -= len(piece)
        if left < 0:
            raise ValueError(f"has more than {OBJECT_LIMIT} bytes")
        yield piece


def _put(file: Path, place: Path, one: Mapping[str, str]) -> None:
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    kind = one.get("unpack", "")
    try:
        if not kind:
            os.replace(file, place / safe(one["key"]))
        elif kind == "zip":
            _unzip(file, place)
        elif kind in {"tar", "tgz"}:
            _untar(file, place, kind)
        else:
            raise ObjectFailure(one["key"], f"cannot unpack {kind!r}")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise ObjectFailure(one["key"], error) from error


def _unzip(file: Path, place: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        _check_size(sum(one.file_size for one in archive.infolist()))
        for one in archive.infolist():
            target = _inside(place, one.filename)
            if one.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(one) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out, PIECE)
            if one.external_attr >> 16 & 0o100:
                os.chmod(target, 0o700)


def _untar(file: Path, place: Path, kind: str) -> None:
    mode: Any = "r:gz" if kind == "tgz" else "r:"
    with tarfile.open(file, mode) as archive:
        members = archive.getmembers()
        _check_size(sum(one.size for one in members))
        for one in members:
            target = _inside(place, one.name)
            source = archive.extractfile(one) if one.isreg() else None
            if one.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif source is None:
                raise ValueError(f"{one.name[:80]!r} is neither a file nor a directory")
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                with source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out, PIECE)
                if one.mode & 0o100:
                    os.chmod(target, 0o700)


def _check_size(size: int) -> None:
    if size > OBJECT_LIMIT:
        raise ValueError(f"unpacks to more than {OBJECT_LIMIT} bytes")


def _inside(place: Path, name: str) -> Path:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts or not all(part.isprintable() for part in parts):
        raise ValueError(f"unsafe name {name[:80]!r}")
    return place.joinpath(*parts)
