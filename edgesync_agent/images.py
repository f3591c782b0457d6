"""Images: pulled with the registries' passwords, recorded, and removed once none needs them."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

from edgesync_agent.engine import Engine, EngineRefusal, json_lines, reason_in
from edgesync_agent.files import replace_file
from edgesync_agent.runtime import FailureReason, RuntimeFailure

PULL_SECONDS = 1800.0  # for one image
SILENCE_SECONDS = 120.0  # without any progress of a pull
FREE_BYTES = 1024**3  # that a pull has to leave, or
ID_PREFIX = "sha256:"
FREE_PART = 0.1  # this part of the file system, whichever is less
DEFAULT_REGISTRY = "docker.io"


class Images:
    """The images of one engine; *record* lists those that this agent pulled."""

    def __init__(self, engine: Engine, record: Path) -> None:
        self.engine = engine
        self.record = record

    def id_of(self, image: str) -> str:
        """Id of an image that is here; empty where it is not."""
        try:
            found = self.engine.call("GET", f"/images/{image}/json")
        except EngineRefusal as error:
            if error.status == 404:
                return ""
            raise
        return str(found["Id"])

    def bring(self, image: str, policy: str, credentials: Sequence[Mapping[str, str]]) -> None:
        """Have *image* here, by its pull policy (Kubernetes'); RuntimeFailure states why it is not.

        One that is here stays in use where its registry cannot be reached, whatever the policy.
        """
        before = self.id_of(image)
        if before and policy != "Always":
            return
        if policy == "Never":
            raise RuntimeFailure(
                FailureReason.IMAGE, f"image {image} is not here, and imagePullPolicy is Never"
            )
        try:
            self._check_room()
            self._pull(image, credentials)
        except RuntimeFailure as error:
            if before and error.reason == FailureReason.ENGINE:
                return
            raise
        if self.id_of(image) != before:
            recorded = self._recorded()
            replaced = [before] if before and image in recorded else []
            self._write([*recorded, image, *replaced])

    def prune(self, images: Iterable[str]) -> None:
        """Remove what this agent pulled and is not among *images*; what a container uses stays."""
        wanted = set(images)
        recorded = self._recorded()
        if not recorded:
            return
        left = [one for one in recorded if one in wanted or not self._is_removed(one)]
        if left != recorded:
            self._write(left)

    def _is_removed(self, image: str) -> bool:
        """Remove a name, or what a newer image left without one; whether it is done with.

        The engine keeps what a container uses, of whatever owner.
        """
        try:
            if image.startswith(ID_PREFIX):
                found = self.engine.call("GET", f"/images/{image}/json", allow=(404,))
                if found is None or found.get("RepoTags"):
                    return True  # gone, or another owner's by now
            self.engine.call("DELETE", f"/images/{image}", allow=(404,))
        except EngineRefusal:
            return False
        return True

    def _pull(self, image: str, credentials: Sequence[Mapping[str, str]]) -> None:
        pieces = self.engine.stream(
            "POST",
            "/images/create",
            query=_named(image),
            headers=_auth(image, credentials),
            seconds=SILENCE_SECONDS,
            total=PULL_SECONDS,
        )
        try:
            errors = [str(line["error"]) for line in json_lines(pieces) if line.get("error")]
        except RuntimeFailure as error:
            raise RuntimeFailure(error.reason, f"cannot pull {image}: {error}") from error
        if errors:
            message = errors[0][:500]
            raise RuntimeFailure(reason_in(message), f"cannot pull {image}: {message}")
        if not self.id_of(image):
            raise RuntimeFailure(FailureReason.IMAGE, f"cannot pull {image}: it did not arrive")

    def _check_room(self) -> None:
        """Refuse a pull that could fill the disk of the engine."""
        place = str((self.engine.call("GET", "/info") or {}).get("DockerRootDir", ""))
        try:
            room = os.statvfs(place)
        except OSError:
            return  # the engine's files are not seen from here
        free, whole = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
        if free < min(FREE_BYTES, whole * FREE_PART):
            raise RuntimeFailure(
                FailureReason.DISK,
                f"no image is pulled: {free // 2**20} MiB of {whole // 2**20} MiB are free"
                f" in {place}",
            )

    def _recorded(self) -> list[str]:
        try:
            found: Any = json.loads(self.record.read_text())
        except (OSError, ValueError):
            return []
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []

    def _write(self, images: Sequence[str]) -> None:
        replace_file(self.record, json.dumps(list(dict.fromkeys(images))).encode())


def registry_of(image: str) -> str:
    """The registry that an image is of, as Docker reads names."""
    first, slash, _ = image.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return first if is_host else DEFAULT_REGISTRY


def _named(image: str) -> dict[str, str]:
    """Without a tag an engine would pull all of them."""
    if "@" in image:
        return {"fromImage": image}
    name, colon, tag = image.rpartition(":")
    if colon and "/" not in tag:
        return {"fromImage": name, "tag": tag}
    return {"fromImage": image, "tag": "latest"}


def _auth(image: str, credentials: Sequence[Mapping[str, str]]) -> dict[str, str]:
    for one in credentials:
        address = one.get("address", "").partition("://")[2] or one.get("address", "")
        host, registry = address.partition("/")[0], registry_of(image)
        is_hub = registry == DEFAULT_REGISTRY and host.endswith("docker.io")
        if host == registry or is_hub:
            login = {
                "username": one.get("username", ""),
                "password": one.get("password", ""),
                "serveraddress": host,
            }
            text = base64.urlsafe_b64encode(json.dumps(login).encode()).decode()
            return {"X-Registry-Auth": text}
    return {}
