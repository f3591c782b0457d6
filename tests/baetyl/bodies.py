"""Bodies as the agent's structs hold them: a field of another type would be lost on the way."""

from datetime import datetime
from typing import Any

import msgspec


class Struct(msgspec.Struct, rename="camel", kw_only=True):
    """Fields it does not name are ignored, as by encoding/json."""


class Reference(Struct):
    name: str = ""
    version: str = ""


class BaetylHostPath(Struct):
    path: str = ""
    type: str = ""


class EmptyDir(Struct):
    medium: str = ""
    size_limit: str = ""


class BaetylVolume(Struct):
    name: str = ""
    host_path: BaetylHostPath | None = None
    config: Reference | None = None
    secret: Reference | None = None
    empty_dir: EmptyDir | None = None


class BaetylVolumeMount(Struct):
    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    read_only: bool = False
    immutable: bool = False


class BaetylPort(Struct):
    host_port: int = 0
    container_port: int = 0
    protocol: str = ""
    host_ip: str = msgspec.field(name="hostIP", default="")
    service_type: str = ""
    node_port: int = 0


class BaetylDevice(Struct):
    device_path: str = ""
    policy: str = ""
    description: str = ""


class Variable(Struct):
    name: str = ""
    value: str = ""


class BaetylResources(Struct):
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}


class BaetylSecurity(Struct):
    privileged: bool = False


class BaetylFunctionConfig(Struct):
    name: str = ""
    runtime: str = ""


class BaetylFunction(Struct):
    name: str = ""
    handler: str = ""
    codedir: str = ""


class BaetylService(Struct):
    name: str = ""
    image: str = ""
    hostname: str = ""
    replica: int = 0
    volume_mounts: list[BaetylVolumeMount] | None = None
    ports: list[BaetylPort] | None = None
    devices: list[BaetylDevice] | None = None
    args: list[str] | None = None
    command: list[str] | None = None
    working_dir: str = ""
    env: list[Variable] | None = None
    resources: BaetylResources | None = None
    runtime: str = ""
    labels: dict[str, str] | None = None
    security: BaetylSecurity | None = None
    host_network: bool = False
    function_config: BaetylFunctionConfig | None = None
    functions: list[BaetylFunction] | None = None
    type: str = ""


class Application(Struct):
    name: str = ""
    type: str = ""
    mode: str = ""
    labels: dict[str, str] | None = None
    namespace: str = ""
    create_time: datetime | None = None
    version: str = ""
    selector: str = ""
    node_selector: str = ""
    services: list[BaetylService] | None = None
    init_services: list[BaetylService] | None = None
    volumes: list[BaetylVolume] | None = None
    description: str = ""
    system: bool = False
    replica: int = 0
    workload: str = ""
    host_network: bool = False


class Configuration(Struct):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    data: dict[str, str] | None = None
    create_time: datetime | None = None
    description: str = ""
    version: str = ""
    system: bool = False


class BaetylSecret(Struct):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    data: dict[str, bytes] | None = None
    create_time: datetime | None = None
    description: str = ""
    version: str = ""
    system: bool = False


class Value(Struct):
    """One entry of a desire response."""

    kind: str = ""
    name: str = ""
    version: str = ""
    value: Any = None


class Values(Struct):
    values: list[Value] | None = None
