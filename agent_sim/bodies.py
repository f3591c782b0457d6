"""Read the bodies the server sends: what an app mounts, what it starts, why it cannot run."""

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from agent_sim.model import Body, BodyKind, BodyName, Part

MAX_REPLICAS = 1000
"""Instances of one service that this simulation is willing to name."""

_SOURCES = {"config": BodyKind.CONFIGURATION, "secret": BodyKind.SECRET}


def parts_of(app: Body) -> tuple[BodyName, ...]:
    """Every configuration and secret that the volumes of *app* name, each once."""
    found = []
    for volume in _list(app, "volumes"):
        for key, kind in _SOURCES.items():
            source = volume.get(key) if isinstance(volume, dict) else None
            if isinstance(source, dict) and isinstance(source.get("name"), str):
                version = source.get("version")
                found.append(
                    BodyName(kind, source["name"], version if isinstance(version, str) else "")
                )
    return tuple(dict.fromkeys(found))


def instances_of(app: Body) -> Iterator[tuple[str, str]]:
    """Service and instance name of everything *app* starts, one instance for each replica."""
    for service in _list(app, "services"):
        for index in range(service.get("replica", 1)):
            yield service["name"], f"{service['name']}-{index}"


def _no_keys(_: Body) -> str:
    return "is sealed, and this node has no keys"


def why_not_runnable(
    app: Body, parts: Sequence[Part], why_shut: Callable[[Body], str] = _no_keys
) -> str:
    """Why a node could not start *app* with its *parts*; empty if it could.

    *why_shut* states why a sealed body does not open: it is opened for no more than that.
    """
    for field in ("services", "volumes"):
        if not isinstance(app.get(field) or [], list):
            return f"{field}: not a list"
    volumes = [v.get("name") for v in _list(app, "volumes") if isinstance(v, dict)]
    for index, service in enumerate(_list(app, "services")):
        cause = _wrong_with_service(service, volumes)
        if cause:
            return f"services[{index}]: {cause}"
    for part in parts:
        cause = why_shut(part.body) if "sealed" in part.body else _wrong_with_files(part)
        if cause:
            return f"{part.info.kind} {part.info.name}: {cause}"
    return ""


def _wrong_with_service(service: Any, volumes: Sequence[Any]) -> str:
    if not isinstance(service, dict) or not isinstance(service.get("name"), str):
        return "no name"
    replica = service.get("replica", 1)
    if type(replica) is not int or not 0 <= replica <= MAX_REPLICAS:
        return f"replica: not between 0 and {MAX_REPLICAS}"
    for mount in _list(service, "volumeMounts"):
        name = mount.get("name") if isinstance(mount, dict) else None
        if name not in volumes:
            return f"mounts {name!r}, which is no volume of the app"
    return ""


def _wrong_with_files(part: Part) -> str:
    files = part.body.get("data") or {}
    if not isinstance(files, dict):
        return "data: not a map"
    for name, content in files.items():
        if not isinstance(content, str):
            return f"data[{name!r}]: not text"
        if part.info.kind is BodyKind.SECRET:
            try:
                base64.b64decode(content, validate=True)
            except (binascii.Error, ValueError):
                return f"data[{name!r}]: not base64"
    return ""


def _list(body: Body, field: str) -> list[Any]:
    value = body.get(field)
    return value if isinstance(value, list) else []
