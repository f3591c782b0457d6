"""Function apps: code that runs inside a runtime's image, described instead of built.

Operators name a config with the code and list the functions; the server adds what a node needs to
run them. What is added is stored with the app, so that its version stands for all of it.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec

from cloud.core.app import (
    FUNCTION_CONFIG_PREFIX,
    App,
    AppSpec,
    AppType,
    FunctionConfig,
    Port,
    Ref,
    Service,
    Volume,
    VolumeMount,
)
from cloud.core.config import Config, ConfigItem, ConfigSpec, KeyValue
from cloud.core.names import check_name
from cloud.core.programs import VOLUME_NAME_LIMIT, with_programs
from cloud.errors import Invalid, NotFound

CODE_PREFIX = "baetyl-function-code-"
"""Begins the name of a volume with code; the name of its config follows."""

CODE_PATH = "/var/lib/baetyl/code"
CONFIG_PATH = "/etc/baetyl"
CONFIG_KEY = "conf.yml"

RUNTIMES: Mapping[str, str] = {
    "python3": "hub.baidubce.com/baetyl/function-python:3.6-v2.0.0",
    "python36": "hub.baidubce.com/baetyl/function-python:3.6-v2.0.0",
    "python3-opencv": "hub.baidubce.com/baetyl/function-python-opencv:3.6",
    "nodejs10": "hub.baidubce.com/baetyl/function-node:10.19-v2.0.0",
    "sql": "hub.baidubce.com/baetyl/function-sql:v2.0.0",
}
"""Images that Baetyl runs functions in."""

NO_RUNTIMES: Mapping[str, str] = MappingProxyType({})
"""For where nothing can run functions."""

_SHOWN_LIMIT = 80


def completed_app_spec(name: str, spec: AppSpec, runtimes: Mapping[str, str]) -> AppSpec:
    """*spec* of the app *name* with all that its description leaves to the server.

    For a function app that is image, mounts, volumes, and one port where none is given; in mode
    native the programs. What was added before is replaced. *runtimes* maps runtime to image;
    NotFound for one that is not there. Any other app stays as it is.
    """
    return with_programs(_with_functions(name, spec, runtimes))


def _with_functions(name: str, spec: AppSpec, runtimes: Mapping[str, str]) -> AppSpec:
    if spec.type is not AppType.FUNCTION:
        return spec
    volumes = {volume.name: volume for volume in spec.volumes if not _is_added(volume.name)}
    services = []
    for index, service in enumerate(spec.services):
        field = f"services[{index}]"
        if not isinstance(service.function_config, FunctionConfig):
            raise Invalid(f"{field}.functionConfig", "a service of a function application needs it")
        code, config = _volumes(field, name, service.name, service.function_config)
        image = runtimes.get(service.function_config.runtime)
        if image is None:
            runtime = service.function_config.runtime[:_SHOWN_LIMIT]
            raise NotFound("runtime", runtime, field=f"{field}.functionConfig.runtime")
        services.append(_completed(service, image, code, config))
        volumes |= {code.name: code, config.name: config}
    return msgspec.structs.replace(spec, services=tuple(services), volumes=tuple(volumes.values()))


def function_configs(app: App) -> Iterator[Config]:
    """The configs that exist only as a part of *app*: a list of functions for each service."""
    if app.spec.type is not AppType.FUNCTION:
        return
    for service in app.spec.services:
        text = msgspec.json.encode({"functions": service.functions or ()})
        spec = ConfigSpec(data=(ConfigItem(CONFIG_KEY, KeyValue(text.decode())),))
        name = function_config_name(app.name, service.name)
        yield Config(app.namespace, name, spec, app.version, app.created, app.updated)


def function_config_name(app: str, service: str) -> str:
    """Name of the config with the functions of a service; no service has a dot in its name."""
    return f"{FUNCTION_CONFIG_PREFIX}{app}.{service}"


def _is_added(volume: str) -> bool:
    return volume.startswith((CODE_PREFIX, FUNCTION_CONFIG_PREFIX))


def _volumes(
    field: str, app: str, service: str, functions: FunctionConfig
) -> tuple[Volume, Volume]:
    """The volumes with code and list of functions; their names have to fit where others do."""
    check_name(f"{field}.functionConfig.name", functions.name)
    for path, prefix, name in (
        (f"{field}.functionConfig.name", CODE_PREFIX, functions.name),
        (f"{field}.name", FUNCTION_CONFIG_PREFIX, service),
    ):
        room = VOLUME_NAME_LIMIT - len(prefix)
        if len(name) > room:
            raise Invalid(path, f"has more than {room} characters, too many for a volume's name")
    return (
        Volume(CODE_PREFIX + functions.name, config=Ref(functions.name)),
        Volume(FUNCTION_CONFIG_PREFIX + service, config=Ref(function_config_name(app, service))),
    )


def _completed(service: Service, image: str, code: Volume, config: Volume) -> Service:
    mounts = [mount for mount in service.volume_mounts if not _is_added(mount.name)]
    for volume, path in ((code, CODE_PATH), (config, CONFIG_PATH)):
        mounts.append(VolumeMount(volume.name, path, read_only=True, immutable=True))
    return msgspec.structs.replace(
        service,
        image=image,
        volume_mounts=tuple(mounts),
        ports=service.ports or (Port(container_port=80),),
        functions=service.functions or (),
    )
