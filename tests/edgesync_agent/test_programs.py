"""What a host process is made of, as far as the pure core decides about it."""

from dataclasses import replace

from edgesync_agent.reconcile import can_run_twice
from edgesync_agent.situation import spec_digest
from edgesync_agent.spec import (
    NATIVE,
    PROGRAM_PATH,
    AppDefinition,
    MountDefinition,
    ServiceDefinition,
    VolumeDefinition,
)

SERVICE = ServiceDefinition(
    "main", mounts=(MountDefinition("bin", PROGRAM_PATH), MountDefinition("conf", "/etc/app"))
)


def app(program: str, conf: str) -> AppDefinition:
    volumes = (
        VolumeDefinition("bin", "config", "bin", program),
        VolumeDefinition("conf", "config", "conf", conf),
    )
    return AppDefinition("web", "1", mode=NATIVE, services=(SERVICE,), volumes=volumes)


def test_a_new_program_is_a_new_process_and_a_new_file_is_none() -> None:
    digest = spec_digest(app("1", "1"), SERVICE)
    assert spec_digest(app("1", "2"), SERVICE) == digest
    assert spec_digest(app("2", "1"), SERVICE) != digest


def test_a_host_process_never_runs_beside_its_successor() -> None:
    assert not can_run_twice(app("1", "1"), SERVICE)
    assert can_run_twice(replace(app("1", "1"), mode="kube"), SERVICE)
