"""Programs: what services in mode `native` run, each mounted from the config it names.

A node finds a program by its mount at `PROGRAM_PATH`, which holds `program.yml` with its entry.
"""

import msgspec

from cloud.core.app import PROGRAM_PREFIX, AppSpec, Ref, Service, Volume, VolumeMount
from cloud.core.names import check_name
from cloud.core.workload import AppMode
from cloud.errors import Invalid

PROGRAM_PATH = "/var/lib/baetyl/bin"

VOLUME_NAME_LIMIT = 63
"""Characters in the name of a volume."""


def with_programs(spec: AppSpec) -> AppSpec:
    """*spec* with a volume and a mount for each `programConfig`; those added before are replaced.

    An app that is not in mode native stays as it is.
    """
    if spec.mode is not AppMode.NATIVE:
        return spec
    volumes = [volume for volume in spec.volumes if not volume.name.startswith(PROGRAM_PREFIX)]
    services = _completed("services", spec.services, volumes)
    changes = {"services": services}
    if spec.init_services:
        changes["init_services"] = _completed("initServices", spec.init_services, volumes)
    return msgspec.structs.replace(spec, volumes=tuple(volumes), **changes)


def _completed(
    field: str, services: tuple[Service, ...], volumes: list[Volume]
) -> tuple[Service, ...]:
    """*services* with their programs mounted; the volumes of these are added to *volumes*."""
    completed = []
    for index, service in enumerate(services):
        volume = _volume(f"{field}[{index}]", service)
        mounts = (one for one in service.volume_mounts if not one.name.startswith(PROGRAM_PREFIX))
        mount = VolumeMount(volume.name, PROGRAM_PATH, read_only=True, immutable=True)
        volumes.append(volume)
        completed.append(msgspec.structs.replace(service, volume_mounts=(*mounts, mount)))
    return tuple(completed)


def _volume(field: str, service: Service) -> Volume:
    program = service.program_config
    if not program:
        raise Invalid(f"{field}.programConfig", "a service in mode native needs it")
    check_name(f"{field}.programConfig", program)
    room = VOLUME_NAME_LIMIT - len(PROGRAM_PREFIX)
    if len(service.name) > room:
        reason = f"has more than {room} characters, too many for a volume's name"
        raise Invalid(f"{field}.name", reason)
    return Volume(PROGRAM_PREFIX + service.name, config=Ref(program))
