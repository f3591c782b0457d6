import json
from typing import Any

import pytest

from cloud.core.app import App, AppSpec, VolumeMount, uses_of
from cloud.core.app_checks import checked_app_spec
from cloud.core.config import KeyValue
from cloud.core.decoding import convert
from cloud.core.functions import completed_app_spec, function_configs
from cloud.core.kinds import CONFIG
from cloud.errors import NotFound
from tests.core.refusals import field_refused
from tests.core.strategies import START

RUNTIMES = {"python36": "runtimes/python:3.6", "nodejs10": "runtimes/node:10"}
CODE = "baetyl-function-code-code"
LIST = "baetyl-function-config-greet"


def service(name: str = "greet", **fields: Any) -> dict[str, Any]:
    functions = [{"name": "hello", "handler": "index.handler", "codedir": "hello"}]
    config = {"name": "code", "runtime": "python36"}
    return {"name": name, "functionConfig": config, "functions": functions, **fields}


def checked(name: str = "fn", **fields: Any) -> AppSpec:
    spec = convert({"type": "function", "services": [service()], **fields}, AppSpec)
    return checked_app_spec(completed_app_spec(name, spec, RUNTIMES))


def refused(**fields: Any) -> str:
    return field_refused(lambda: checked(**fields))


def test_a_function_app_gets_image_code_list_and_port() -> None:
    spec = checked()
    [done] = spec.services
    assert done.image == "runtimes/python:3.6"
    assert done.volume_mounts == (
        VolumeMount(CODE, "/var/lib/baetyl/code", read_only=True, immutable=True),
        VolumeMount(LIST, "/etc/baetyl", read_only=True, immutable=True),
    )
    assert [volume.name for volume in spec.volumes] == [CODE, LIST]
    assert [(port.container_port, port.protocol) for port in done.ports] == [(80, "TCP")]


def test_what_the_operator_adds_stays() -> None:
    spec = checked(
        services=[service(ports=[{"containerPort": 8080}], volumeMounts=[
            {"name": "data", "mountPath": "/data"}
        ], image="ignored")],
        volumes=[{"name": "data", "emptyDir": {}}],
    )  # fmt: skip
    [done] = spec.services
    assert [mount.name for mount in done.volume_mounts] == ["data", CODE, LIST]
    assert [volume.name for volume in spec.volumes] == ["data", CODE, LIST]
    assert [port.container_port for port in done.ports] == [8080]
    assert done.image == "runtimes/python:3.6"


def test_completing_what_is_complete_changes_nothing() -> None:
    spec = checked(services=[service(), service("again")], volumes=[{"name": "x", "emptyDir": {}}])
    assert completed_app_spec("fn", spec, RUNTIMES) == spec


def test_a_container_app_is_left_alone() -> None:
    spec = convert({"services": [{"name": "web", "image": "nginx:1"}]}, AppSpec)
    assert completed_app_spec("web", spec, {}) is spec


def test_only_the_code_is_used_by_name() -> None:
    assert [(use.kind, use.name) for use in uses_of(checked())] == [(CONFIG, "code")]


def test_the_list_of_functions_is_a_part_of_the_app() -> None:
    app = App("default", "fn", checked(), "12", START, START)
    [config] = function_configs(app)
    assert (config.name, config.version) == ("baetyl-function-config-fn.greet", "12")
    [item] = config.spec.data
    assert item.key == "conf.yml"
    assert isinstance(item.value, KeyValue)
    assert json.loads(item.value.value) == {
        "functions": [{"name": "hello", "handler": "index.handler", "codedir": "hello"}]
    }


def test_services_of_different_apps_never_share_a_list() -> None:
    names = [
        config.name
        for app, own in (("a-b", "c"), ("a", "b-c"))
        for config in function_configs(
            App("default", app, checked(app, services=[service(own)]), "1", START, START)
        )
    ]
    assert len(set(names)) == 2


def test_a_container_app_has_no_parts() -> None:
    spec = convert({"services": [{"name": "web", "image": "nginx:1"}]}, AppSpec)
    assert not list(function_configs(App("default", "web", spec, "1", START, START)))


def test_an_unknown_runtime_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        checked(services=[service(functionConfig={"name": "code", "runtime": "cobol"})])
    assert (caught.value.kind, caught.value.name) == ("runtime", "cobol")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"functionConfig": {"name": "A", "runtime": "python36"}}, "functionConfig.name"),
        ({"functionConfig": {"name": "x" * 43, "runtime": "python36"}}, "functionConfig.name"),
        ({"name": "x" * 41}, "name"),
        ({"functions": [{"name": "", "handler": "x"}]}, "functions[0].name"),
        ({"functions": [{"name": "a", "handler": " "}]}, "functions[0].handler"),
        ({"functions": [{"name": "a", "handler": "x"}] * 2}, "functions[1].name"),
        (
            {"functions": [{"name": "a", "handler": "x", "codedir": "/etc"}]},
            "functions[0].codedir",
        ),
        (
            {"functions": [{"name": "a", "handler": "x", "codedir": "a/../.."}]},
            "functions[0].codedir",
        ),
    ],
)
def test_what_could_not_run_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    assert refused(services=[service(**changes)]) == f"services[0].{field}"


def test_every_service_of_a_function_app_has_functions() -> None:
    assert refused(services=[{"name": "web", "image": "x"}]) == "services[0].functionConfig"
    assert checked(services=[service(functions=[])]).services[0].functions == ()


def test_a_function_app_has_no_registries() -> None:
    assert refused(registries=[{"name": "hub"}]) == "registries"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"functionConfig": {"name": "code", "runtime": "python36"}}, "functionConfig"),
        ({"functions": [{"name": "a", "handler": "x"}]}, "functions"),
    ],
)
def test_a_container_app_has_no_functions(fields: dict[str, Any], field: str) -> None:
    content = {"services": [{"name": "web", "image": "x", **fields}]}
    spec = convert(content, AppSpec)
    assert field_refused(checked_app_spec, spec) == f"services[0].{field}"
