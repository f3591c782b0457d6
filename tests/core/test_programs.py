from typing import Any

import pytest

from cloud.core.app import AppSpec, VolumeMount, uses_of
from cloud.core.app_checks import checked_app_spec
from cloud.core.decoding import convert
from cloud.core.functions import completed_app_spec
from tests.core.refusals import field_refused

MOUNTED = "baetyl-program-config-"


def service(name: str = "prog", **fields: Any) -> dict[str, Any]:
    return {"name": name, "programConfig": "prog-v1", **fields}


def checked(**fields: Any) -> AppSpec:
    spec = convert({"mode": "native", "services": [service()], **fields}, AppSpec)
    return checked_app_spec(completed_app_spec("app", spec, {"python3": "python"}))


def refused(**fields: Any) -> str:
    return field_refused(lambda: checked(**fields))


def test_a_program_is_mounted_where_agents_look_for_it() -> None:
    spec = checked()
    [done] = spec.services
    assert done.volume_mounts == (
        VolumeMount(f"{MOUNTED}prog", "/var/lib/baetyl/bin", read_only=True, immutable=True),
    )
    assert [volume.name for volume in spec.volumes] == [f"{MOUNTED}prog"]
    assert {use.name for use in uses_of(spec)} == {"prog-v1"}


def test_another_program_takes_the_place_of_the_one_before() -> None:
    shown = checked(initServices=[service("first")])
    assert completed_app_spec("app", shown, {}) == shown
    from_cloud = {"name": f"{MOUNTED}x7k2m9", "config": {"name": "prog-v1"}}
    mount = {"name": f"{MOUNTED}x7k2m9", "mountPath": "/var/lib/baetyl/bin"}
    moved = checked(volumes=[from_cloud], services=[service(volumeMounts=[mount])])
    assert moved == checked()


def test_services_that_run_first_have_programs_too() -> None:
    spec = checked(initServices=[service("first", programConfig="other")])
    assert {use.name for use in uses_of(spec)} == {"prog-v1", "other"}
    assert refused(initServices=[{"name": "first"}]) == "initServices[0].programConfig"


def test_functions_run_as_programs_too() -> None:
    functions = service(functionConfig={"name": "code", "runtime": "python3"})
    spec = checked(type="function", services=[functions])
    paths = [mount.mount_path for mount in spec.services[0].volume_mounts]
    assert paths == ["/var/lib/baetyl/code", "/etc/baetyl", "/var/lib/baetyl/bin"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"programConfig": ""}, "programConfig"),
        ({"programConfig": None}, "programConfig"),
        ({"programConfig": "A"}, "programConfig"),
        ({"name": "x" * 42}, "name"),
    ],
)
def test_a_native_service_needs_a_program(changes: dict[str, Any], field: str) -> None:
    assert refused(services=[service(**changes)]).endswith(field)


def test_a_kube_app_is_left_alone() -> None:
    own = {"name": f"{MOUNTED}own", "emptyDir": {}}
    spec = convert({"services": [{"name": "web", "image": "x"}], "volumes": [own]}, AppSpec)
    assert completed_app_spec("app", spec, {}) is spec
