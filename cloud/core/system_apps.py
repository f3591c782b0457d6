"""System apps: the parts of a Baetyl agent, given to the nodes of a namespace as apps of their own.

Which there are follows from a list of modules for the namespace, from the node, and from what the
node reports: an app that it has already keeps its name, and a node that has one which is not listed
is left alone. An agent is therefore never made to delete a part of itself.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from cloud.core.app import (
    App,
    AppSpec,
    AppVersion,
    HostPath,
    Port,
    Ref,
    Security,
    Service,
    Volume,
    VolumeMount,
)
from cloud.core.bounds import check_length
from cloud.core.config import Config, ConfigItem, ConfigSpec, KeyValue
from cloud.core.core_configuration import DEFAULT_CORE
from cloud.core.kinds import SYSTEM_APPS as KIND
from cloud.core.kinds import ResourceKind
from cloud.core.mask import Hidden
from cloud.core.names import NODE_NAME_LABEL
from cloud.core.node import Node
from cloud.core.selectors import matches, parse_selector
from cloud.errors import Invalid

LABELS: Mapping[str, str] = {"baetyl-cloud-system": "true"}
"""Labels of every system app and its config."""

SYSTEM_APPS = "sysapps"
"""Name of the list in its namespace."""

_SUFFIX_DIGITS = 9
_IMAGE_LIMIT = 512
_ADDRESS_LIMIT = 2048
_PATH_LIMIT = 4096
_CONFIG_LIMIT = 64 * 1024


class Module(StrEnum):
    """A part of an agent; also how the names of its apps begin."""

    CORE = "baetyl-core"
    INIT = "baetyl-init"
    BROKER = "baetyl-broker"
    FUNCTION = "baetyl-function"


_AGENTS = frozenset({Module.CORE, Module.INIT})


class SystemModule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part that nodes are given; *config* is its `conf.yml`, empty for one the server makes.

    The server makes those of core and init; the others then run without.
    """

    name: Module
    image: str
    config: str = ""


class SystemAppsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The system apps of the nodes that *selector* selects (empty: all).

    *address* is where agents report to, over HTTPS; *host_path* the directory on the node that
    holds what agents keep, certificate and key of the node in `node`. *include_native*: agents in
    native mode are given them, too; their parts are programs, and images mean nothing to them.
    """

    modules: tuple[SystemModule, ...] = ()
    selector: str = ""
    address: str = ""
    host_path: str = "/var/lib/baetyl"
    include_native: bool = False


class SystemAppsHistory(msgspec.Struct, frozen=True):
    """The list as it is, and every module as it was listed last: nodes may still have it."""

    current: SystemAppsSpec
    known: tuple[SystemModule, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemApps:
    """The list of one namespace as it is stored."""

    kind: ClassVar[ResourceKind] = KIND

    namespace: str
    history: SystemAppsHistory
    version: str
    updated: datetime

    @property
    def spec(self) -> SystemAppsSpec:
        """The list as it is."""
        return self.history.current

    @property
    def name(self) -> str:
        """There is one in each namespace."""
        return SYSTEM_APPS

    @property
    def created(self) -> datetime:
        """Of no interest: nothing lists it."""
        return self.updated

    @property
    def tag_state(self) -> object:
        """Its version."""
        return self.version

    def described(self) -> Mapping[str, Any]:
        """The list as the audit log shows it: configs are hidden."""
        spec: dict[str, Any] = msgspec.to_builtins(self.spec)
        return {
            **spec,
            "modules": {one.name.value: one.image for one in self.spec.modules},
            "configs": {one.name.value: Hidden(one.config) for one in self.spec.modules},
            "version": self.version,
        }


def is_system(name: str) -> bool:
    """Return whether an app of that name is a system app; operators cannot use such names."""
    return any(_is_of(module, name) for module in Module)


def module_of(name: str) -> Module:
    """The part that a system app of that name is of."""
    return next(module for module in Module if _is_of(module, name))


def is_for(system: SystemApps, node: Node) -> bool:
    """Return whether *node* is among those that are given the list, as far as its labels go."""
    return _selects(system.spec.selector, node.labels)


def checked_system_apps(spec: SystemAppsSpec) -> SystemAppsSpec:
    """Return *spec* if agents could run it; Invalid names the field."""
    parse_selector(spec.selector)
    seen: set[Module] = set()
    for index, module in enumerate(spec.modules):
        where = f"modules[{index}]"
        if module.name in seen:
            raise Invalid(f"{where}.name", f"{module.name.value} is there twice")
        seen.add(module.name)
        if not module.image.strip():
            raise Invalid(f"{where}.image", "is missing")
        if len(module.config) > _CONFIG_LIMIT:
            raise Invalid(f"{where}.config", f"has more than {_CONFIG_LIMIT} characters")
        check_length(f"{where}.image", module.image, _IMAGE_LIMIT)
    check_length("address", spec.address, _ADDRESS_LIMIT)
    check_length("hostPath", spec.host_path, _PATH_LIMIT)
    if not spec.host_path.startswith("/"):
        raise Invalid("hostPath", "is not an absolute path")
    if any(module.name in _AGENTS and not module.config for module in spec.modules):
        _check_address(spec.address)
    return spec


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise Invalid("address", "is not a URL") from error
    if parts.scheme != "https" or not parts.hostname:
        raise Invalid("address", "is not an https URL that agents report to")


def system_apps(
    system: SystemApps, node: Node, reported: Sequence[AppVersion] | None
) -> Iterator[App]:
    """The system apps that *node* should have, under the names it has them by; all there should be.

    None where the server does not manage them: before the node named any (None), where it is
    not selected, and where it has one that is not listed, or one twice. Then it keeps what it has.
    """
    if reported is None or not _selects(system.spec.selector, node.labels):
        return
    names = [_names_of(module.name, reported) for module in system.spec.modules]
    if sum(map(len, names)) != len(reported) or any(len(held) > 1 for held in names):
        return
    version = _version(system, node)
    for module, held in zip(system.spec.modules, names, strict=True):
        name = held[0] if held else _own_name(module.name, node)
        spec = _app_spec(system.spec, module, name, node)
        yield App(node.namespace, name, spec, version, node.created, system.updated)


def held_apps(
    system: SystemApps, node: Node, reported: Sequence[AppVersion] | None
) -> Iterator[App]:
    """The bodies that an unmanaged *node* may still request: an agent without a response hangs."""
    known = {module.name: module for module in system.history.known}
    for app in reported or ():
        for module in known.values():
            if _is_of(module.name, app.name):
                spec = _app_spec(system.spec, module, app.name, node)
                yield App(node.namespace, app.name, spec, app.version, node.created, system.updated)


def listed_anew(system: SystemApps | None, spec: SystemAppsSpec) -> SystemAppsHistory:
    """The list once it is *spec*, with what is known of before."""
    known = {module.name: module for module in system.history.known} if system else {}
    return SystemAppsHistory(
        spec, tuple((known | {module.name: module for module in spec.modules}).values())
    )


def system_config(system: SystemApps, node: Node, app: App) -> Config | None:
    """The config of a system *app*; None if it has none."""
    module = next(one for one in system.spec.modules if _is_of(one.name, app.name))
    text = module.config or _agent_config(system.spec, module.name, node)
    if not text:
        return None
    spec = ConfigSpec(dict(LABELS), (ConfigItem("conf.yml", KeyValue(text)),))
    name = _config_name(module.name, app.name)
    return Config(node.namespace, name, spec, app.version, app.created, app.updated)


def _selects(selector: str, labels: Mapping[str, str]) -> bool:
    return not selector or matches(parse_selector(selector), labels)


def _version(system: SystemApps, node: Node) -> str:
    """Another one for other content: the list has a version, the node's core configuration none."""
    if node.core == DEFAULT_CORE:
        return system.version
    digest = hashlib.sha256(msgspec.json.encode(node.core)).hexdigest()
    return f"{system.version}-{digest[:8]}"


def _is_of(module: Module, name: str) -> bool:
    return name == module.value or name.startswith(f"{module.value}-")


def _names_of(module: Module, reported: Sequence[AppVersion]) -> list[str]:
    return [app.name for app in reported if _is_of(module, app.name)]


def _own_name(module: Module, node: Node) -> str:
    """A name that no other node has."""
    digest = hashlib.sha256(node.id.encode()).hexdigest()
    return f"{module.value}-{digest[:_SUFFIX_DIGITS]}"


def _config_name(module: Module, name: str) -> str:
    return f"{module.value}-conf{name.removeprefix(module.value)}"


def _app_spec(spec: SystemAppsSpec, module: SystemModule, name: str, node: Node) -> AppSpec:
    is_agent = module.name in _AGENTS
    volumes: list[tuple[Volume, str]] = []
    if module.config or is_agent:
        ref = Ref(_config_name(module.name, name))
        volumes.append((Volume("conf", config=ref), "/etc/baetyl"))
    if is_agent:
        store = "core/store" if module.name is Module.CORE else "init/store"
        for volume, below in (("node", "node"), ("store", store), ("object", "object")):
            source = HostPath(f"{spec.host_path}/{below}")
            volumes.append((Volume(volume, host_path=source), f"/var/lib/baetyl/{volume}"))
        volumes.append(
            (Volume("host", host_path=HostPath(f"{spec.host_path}/host")), "/var/lib/baetyl/host")
        )
    service = Service(
        name=module.name.value,
        image=_image(module, node) if is_agent else module.image,
        args=(module.name.value.removeprefix("baetyl-"),) if is_agent else (),
        ports=(Port(80, host_port=node.core.apiport),) if module.name is Module.CORE else (),
        volume_mounts=tuple(VolumeMount(volume.name, path) for volume, path in volumes),
        security=Security(privileged=is_agent),
    )
    return AppSpec(
        selector=f"{NODE_NAME_LABEL}={node.name}",
        labels=dict(LABELS),
        services=(service,),
        volumes=tuple(volume for volume, _ in volumes),
    )


def _image(module: SystemModule, node: Node) -> str:
    """The image, with the version that the node's core configuration wants as its tag."""
    if not node.core.version:
        return module.image
    path, slash, last = module.image.rpartition("/")
    return f"{path}{slash}{last.partition('@')[0].partition(':')[0]}:{node.core.version}"


def _agent_config(spec: SystemAppsSpec, module: Module, node: Node) -> str:
    """`conf.yml` of core and init; JSON is YAML too."""
    if module not in _AGENTS:
        return ""
    folder = "var/lib/baetyl/node"
    content = {
        "node": {
            "ca": f"{folder}/ca.pem",
            "key": f"{folder}/client.key",
            "cert": f"{folder}/client.pem",
        },
        "sync": {"report": {"interval": f"{node.core.frequency}s"}},
        "httplink": {"address": spec.address, "insecureSkipVerify": False},
        "logger": {"level": node.core.log_level.value, "encoding": "console"},
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
