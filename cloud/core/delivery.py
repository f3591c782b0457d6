"""The response to a node's request for a body (docs/protocol.md, "Desire")."""

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UnsetType

from cloud.core.app import App, AppSpec, Ref, Volume
from cloud.core.config import Config, ConfigItem, KeyValue
from cloud.core.kinds import CONFIG, REGISTRY, SECRET, ResourceKind
from cloud.core.objects import KEY_PREFIX, Presign, object_url
from cloud.core.registry import Registry
from cloud.core.secret import Secret
from cloud.core.times import time_text

SECRET_TYPE = "secret-type"  # noqa: S105
"""Label by which agents know credentials of a registry (`registry`) from other secrets."""

VersionOf = Callable[[ResourceKind, str], str]
"""Current version of a config, secret or registry."""


Used = Config | Secret | Registry
USED: Mapping[ResourceKind, type[Used]] = {CONFIG: Config, SECRET: Secret, REGISTRY: Registry}
"""The kinds of bodies beside apps."""


def app_value(app: App, version_of: VersionOf) -> dict[str, Any]:
    """The app as a node gets it: its volumes name the versions they stand for.

    Each registry is a secret volume of its own name, which no service mounts. What holds for all
    services is also repeated in each: agents look in one place or in the other.
    """
    value: dict[str, Any] = msgspec.to_builtins(app.spec)
    for service in value["services"]:
        service.update(_shared_by_services(app.spec))
    refs = [
        {"name": ref.name, "version": version_of(REGISTRY, ref.name)} for ref in app.spec.registries
    ]
    value["registries"] = refs
    value["volumes"] = [
        *(_volume_value(volume, version_of) for volume in app.spec.volumes),
        *({"name": ref["name"], "secret": ref} for ref in refs),
    ]
    return _headed(app.namespace, app.name, app.version, app.created, value)


def _shared_by_services(spec: AppSpec) -> dict[str, Any]:
    shared: dict[str, Any] = {}
    if not isinstance(spec.replica, UnsetType):
        shared["replica"] = spec.replica
    if spec.host_network:
        shared["hostNetwork"] = True
    return shared


def used_value(used: Used, presign: Presign) -> dict[str, Any]:
    """A resource that an app uses, as a node receives it."""
    match used:
        case Config():
            return config_value(used, presign)
        case Secret():
            return secret_value(used)
        case Registry():
            return registry_value(used)


def config_value(config: Config, presign: Presign) -> dict[str, Any]:
    """The config as a node gets it: `data` maps file name to text, or to where the file is."""
    spec = config.spec
    value = {
        "labels": dict(spec.labels),
        "description": spec.description,
        "data": dict(_item_value(item, presign) for item in spec.data),
    }
    return _headed(config.namespace, config.name, config.version, config.created, value)


def _item_value(item: ConfigItem, presign: Presign) -> tuple[str, str]:
    value = item.value
    if isinstance(value, KeyValue):
        return item.key, value.value
    place = {"url": object_url(value, presign), "md5": value.md5, "unpack": value.unpack}
    return KEY_PREFIX + item.key, msgspec.json.encode(place).decode()


def secret_value(secret: Secret) -> dict[str, Any]:
    """The secret as a node gets it: `data` maps file name to base64."""
    spec = secret.spec
    value = _secret_body("config", spec.description, spec.data)
    return _headed(secret.namespace, secret.name, secret.version, secret.created, value)


def registry_value(registry: Registry) -> dict[str, Any]:
    """The registry as a node gets it: a secret with address, username and password."""
    spec = registry.spec
    data = {"address": spec.address, "username": spec.username, "password": spec.password}
    value = _secret_body("registry", "", data)
    return _headed(registry.namespace, registry.name, registry.version, registry.created, value)


def _secret_body(kind: str, description: str, data: Mapping[str, str]) -> dict[str, Any]:
    labels = {SECRET_TYPE: kind}
    return {"labels": labels, "description": description, "data": _base64_values(data)}


def _base64_values(data: Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}


def _headed(
    namespace: str, name: str, version: str, created: datetime, value: dict[str, Any]
) -> dict[str, Any]:
    head = {"name": name, "namespace": namespace, "version": version}
    return {**head, "createTime": time_text(created), **value}


def _volume_value(volume: Volume, version_of: VersionOf) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(volume)
    for kind, ref in ((CONFIG, volume.config), (SECRET, volume.secret)):
        if isinstance(ref, Ref):
            value[kind.word]["version"] = version_of(kind, ref.name)
    return value
