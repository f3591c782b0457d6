"""Convert resources of baetyl-cloud to edgesync's, and list what is lost.

Both editions are read: that of the open API's page, and the later one, whose lists are flat and
whose absent values are null.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union, get_args, get_origin

import msgspec

from cloud.core.app import AppSpec, AppType
from cloud.core.batch import BatchSpec
from cloud.core.config import ConfigItem
from cloud.core.core_configuration import CoreConfiguration
from cloud.core.node import NodeSpec
from cloud.core.secret import SecretSpec
from cloud.core.workload import AppMode, Workload
from cloud.operations.records import RecordDraft

Json = Mapping[str, Any]

_OWN_LABELS = frozenset(
    {"baetyl-node-name", "baetyl-accelerator", "baetyl-cluster", "baetyl-node-mode"}
)
_GENERATED = "baetyl-function-"

# Set by baetyl-cloud itself, or taken over elsewhere.
_SILENT = frozenset(
    {
        "name",
        "namespace",
        "version",
        "createTime",
        "updateTime",
        "system",
        "report",
        "desire",
        "ready",
        "mode",
        "appMode",
        "cronTime",
        "registries",
        "activeTime",
        "activeIP",
        "activeIp",
        "active",
        "batchName",
    }
)
_APP_DEFAULTS: Mapping[str, tuple[object, ...]] = {
    "mode": ("", AppMode.KUBE.value),
    "workload": ("", Workload.DEPLOYMENT.value),
    "replica": (0,),
    "hostNetwork": (False,),
    "initServices": ([],),
}
_EMPTY_IS_ABSENT = ("functions", "programConfig", "imagePullPolicy")
# What is as if it were not there.
_USUAL: Mapping[str, frozenset[object]] = {
    "mode": frozenset({"kube"}),
    "nodeMode": frozenset({"kube"}),
    "dnsPolicy": frozenset({"ClusterFirst"}),
    "serviceType": frozenset({"ClusterIP"}),
    "cronStatus": frozenset({2}),
}


class CannotTake(Exception):
    """The resource has no equivalent in edgesync; the text has the reason."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A body for edgesync, and the fields that it could not take."""

    body: dict[str, Any]
    lost: Sequence[str] = field(default=())


def node_of(node: Json) -> Taken:
    """A node, without what it reported."""
    taken = _known(node, NodeSpec)
    labels = taken.body.get("labels", {})
    taken.body["labels"] = {key: labels[key] for key in labels if key not in _OWN_LABELS}
    return taken


def core_of(core: Json) -> Taken:
    """The core configuration of a node."""
    return _known(core, CoreConfiguration)


def config_of(config: Json) -> Taken:
    """A config with all its items."""
    lost: list[str] = []
    body: dict[str, Any] = {
        key: config[key] for key in ("labels", "description") if config.get(key) is not None
    }
    body["data"] = [
        _reduced(item, ConfigItem, f"data[{index}]", lost)
        for index, item in enumerate(config.get("data") or [])
    ]
    return Taken(body, lost)


def secret_of(secret: Json) -> Taken:
    """A secret; CannotTake where its values are not shown."""
    if not isinstance(secret.get("data"), Mapping):
        raise CannotTake("its values are not shown")
    shown = {key: secret[key] for key in ("data", "description") if key in secret}
    return _known(shown, SecretSpec)


def registry_of(registry: Json, values: Json | None) -> Taken:
    """A registry; *values* is what is shown under its name among the secrets, password included."""
    password = (values or {}).get("data", {}).get("password")
    if not password:
        raise CannotTake("its password is not shown; create it with its password")
    shown = {key: registry.get(key) or "" for key in ("address", "username", "description")}
    return Taken({**shown, "password": password})


def batch_of(batch: Json) -> Taken:
    """A batch; a callback is lost, since the API shows none."""
    taken = _known({**batch, "callbackName": ""}, BatchSpec)
    # Go leaves out what is zero.
    taken.body.setdefault("enableWhitelist", 0)
    taken.body.pop("callbackName")
    callback = batch.get("callbackName")
    return Taken(taken.body, [*taken.lost, *(["callbackName"] if callback else [])])


def record_of(record: Json) -> Taken:
    """A record, not active until its device activates here."""
    wanted = ("name", "fingerprintValue", "nodeName")
    return _known({key: record[key] for key in wanted if record.get(key)}, RecordDraft)


def app_of(app: Json) -> Taken:
    """An app; CannotTake if it would not do what it did."""
    kind = app.get("type") or AppType.CONTAINER.value
    if kind not in set(AppType):
        raise CannotTake(f"its type is {kind}")
    if app.get("cronStatus") == 1:
        raise CannotTake("it waits for cronTime; here it would run at once")
    if any(volume.get("certificate") for volume in app.get("volumes") or []):
        raise CannotTake("it mounts a certificate")
    is_function = kind == AppType.FUNCTION.value
    if is_function and app.get("mode") == AppMode.NATIVE.value:
        raise CannotTake("it runs functions in mode native; baetyl-cloud made their program")
    services = [_service(app, one, is_function=is_function) for one in app.get("services") or []]
    first = [_service(app, one) for one in app.get("initServices") or []]
    volumes = [volume for volume in app.get("volumes") or [] if not _is_generated(volume)]
    body = {**app, "type": kind, "services": services, "initServices": first, "volumes": volumes}
    taken = _known({**body, **_workload(app), "registries": None}, AppSpec)
    taken.body["registries"] = [{"name": one["name"]} for one in app.get("registries") or []]
    return Taken(_without_defaults(taken.body), taken.lost)


def _workload(app: Json) -> dict[str, Any]:
    """Kind of workload and job; earlier editions had both in each service."""
    service: Json = next(iter(app.get("services") or ()), {})
    workload = app.get("workload") or service.get("type")
    job: Json = app.get("jobConfig") or {}
    if not job.get("restartPolicy"):
        job = service.get("jobConfig") or job
    is_job = workload == Workload.JOB.value
    return {"workload": workload, "jobConfig": job if is_job else None}


def _without_defaults(app: dict[str, Any]) -> dict[str, Any]:
    """*app* without fields that mean the same when they are absent."""
    return {key: app[key] for key in app if app[key] not in _APP_DEFAULTS.get(key, ())}


def _service(app: Json, service: Json, *, is_function: bool = False) -> Json:
    """A service with the fields that a later edition has in the app."""
    mounts = [one for one in service.get("volumeMounts") or [] if not _is_generated(one)]
    merged = {**service, "volumeMounts": mounts}
    if not service.get("replica") and app.get("replica"):
        merged["replica"] = app["replica"]
    if app.get("hostNetwork"):
        merged["hostNetwork"] = True
    dropped = {"type", "jobConfig"}
    if is_function:
        dropped |= {"image", "ports"}  # follow from the runtime here too
    dropped |= {key for key in _EMPTY_IS_ABSENT if not merged.get(key)}
    return {key: merged[key] for key in merged if key not in dropped}


def _is_generated(named: Json) -> bool:
    """Return whether a volume or a mount is one that both servers add by themselves."""
    return str(named.get("name", "")).startswith(_GENERATED)


def _known(value: Json, kind: type[msgspec.Struct]) -> Taken:
    lost: list[str] = []
    return Taken(_reduced(value, kind, "", lost), lost)


def _reduced(value: Any, kind: Any, where: str, lost: list[str]) -> Any:
    """*value* without fields unknown to *kind*; paths of those with a meaning go to *lost*."""
    if isinstance(value, Mapping) and (struct := _struct_in(kind, value)) is not None:
        known = {one.encode_name: one.type for one in msgspec.structs.fields(struct)}
        if tag := struct.__struct_config__.tag_field:
            known[tag] = str
        for key in value:
            if key not in known and _has_meaning(key, value[key]):
                lost.append(f"{where}.{key}" if where else key)
        return {
            key: _reduced(value[key], known[key], f"{where}.{key}" if where else key, lost)
            for key in value
            if key in known and value[key] is not None
        }
    if isinstance(value, list):
        inner = next((one for one in _parts(kind) if one is not Ellipsis), Any)
        return [_reduced(one, inner, f"{where}[{at}]", lost) for at, one in enumerate(value)]
    return value


def _struct_in(kind: Any, value: Json) -> type[msgspec.Struct] | None:
    """The struct that *kind* is, or the one of its alternatives that *value* is tagged as."""
    found: list[type[msgspec.Struct]] = [one for one in _alternatives(kind) if _is_struct(one)]
    if len(found) < 2:
        return found[0] if found else None
    for one in found:
        config = one.__struct_config__
        if config.tag_field and value.get(config.tag_field) == config.tag:
            return one
    return None


def _alternatives(kind: Any) -> Iterator[Any]:
    if get_origin(kind) in {Union, types.UnionType}:
        for one in get_args(kind):
            yield from _alternatives(one)
    else:
        yield kind


def _parts(kind: Any) -> Iterator[Any]:
    for one in _alternatives(kind):
        if get_origin(one) in {tuple, list}:
            yield from get_args(one)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _has_meaning(key: str, value: Any) -> bool:
    if key in _SILENT or value in (None, "", 0, False, [], {}):
        return False
    if isinstance(value, str) and value.startswith("0001-01-01"):
        return False
    return not (isinstance(value, str | int) and value in _USUAL.get(key, ()))
