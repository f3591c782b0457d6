from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import AppVersion
from cloud.core.app_checks import checked_app_spec
from cloud.core.core_configuration import CoreConfiguration
from cloud.core.names import check_name
from cloud.core.node import Node, NodeSpec
from cloud.core.system_apps import (
    Module,
    SystemApps,
    SystemAppsSpec,
    SystemModule,
    checked_system_apps,
    is_system,
    listed_anew,
    system_apps,
    system_config,
)
from cloud.errors import Invalid
from tests.core.strategies import START

ADDRESS = "https://sync.example.com:9005"
NODE = Node("default", "gate-7", NodeSpec({"role": "gateway"}), START, START)
ALL = tuple(SystemModule(module, f"example.com/{module.value}:v1") for module in Module)


def listed(*modules: SystemModule, **fields: Any) -> SystemApps:
    spec = SystemAppsSpec(modules, address=ADDRESS, **fields)
    return SystemApps("default", listed_anew(None, checked_system_apps(spec)), "7", START)


def names(system: SystemApps, node: Node, *reported: str) -> list[str]:
    held = [AppVersion(name, "1") for name in reported]
    return [app.name for app in system_apps(system, node, held)]


def test_a_node_that_has_none_gets_one_of_each_by_a_name_of_its_own() -> None:
    mine = names(listed(*ALL), NODE)
    others = names(listed(*ALL), replace(NODE, name="gate-8"))
    assert [name.rpartition("-")[0] for name in mine] == [module.value for module in Module]
    assert set(mine).isdisjoint(others)
    for name in mine:
        assert check_name("name", name) == name
        assert is_system(name)
    assert not is_system("web")


def test_what_a_node_has_keeps_its_name() -> None:
    held = ["baetyl-init-x1", "baetyl-core-x1"]
    assert names(listed(*ALL[:2]), NODE, *held) == ["baetyl-core-x1", "baetyl-init-x1"]


@given(st.lists(st.sampled_from([*Module, "other"]), max_size=5), st.sets(st.sampled_from(ALL)))
def test_no_app_that_a_node_reports_is_missing_from_its_desired_state(
    held: list[str], modules: set[SystemModule]
) -> None:
    reported = [f"{module}-{number}" for number, module in enumerate(held)]
    desired = names(listed(*modules), NODE, *reported)
    assert not desired or set(reported) <= set(desired)


def test_a_node_that_is_not_selected_or_never_reported_is_left_alone() -> None:
    system = listed(*ALL, selector="role=camera")
    assert names(system, NODE) == []
    assert names(listed(*ALL, selector="role=gateway"), NODE)
    assert list(system_apps(listed(*ALL), NODE, None)) == []


def test_core_reports_to_the_address_as_the_node_is_configured() -> None:
    core = CoreConfiguration("v2.4.3", frequency=60, apiport=30060)
    node = replace(NODE, core=core)
    system = listed(*ALL)
    app, *_ = system_apps(system, node, [])
    assert checked_app_spec(app.spec) == app.spec
    (service,) = app.spec.services
    assert (service.image, service.args) == ("example.com/baetyl-core:v2.4.3", ("core",))
    assert service.ports[0].host_port == 30060
    assert app.spec.selector == "baetyl-node-name=gate-7"
    config = system_config(system, node, app)
    assert config is not None
    assert config.name == app.name.replace("baetyl-core-", "baetyl-core-conf-")
    assert config.version == app.version
    content = msgspec.json.decode(msgspec.to_builtins(config.spec.data[0].value)["value"])
    assert content["httplink"] == {"address": ADDRESS, "insecureSkipVerify": False}
    assert content["sync"] == {"report": {"interval": "60s"}}
    paths = [volume.host_path.path for volume in app.spec.volumes if volume.host_path]
    assert paths[0] == "/var/lib/baetyl/node"


def test_only_the_parts_that_need_one_have_a_config() -> None:
    own = SystemModule(Module.BROKER, "broker", "listeners: []\n")
    system = listed(own, ALL[3])
    broker, function = system_apps(system, NODE, [])
    config = system_config(system, NODE, broker)
    assert config is not None
    assert config.spec.data[0].key == "conf.yml"
    assert system_config(system, NODE, function) is None
    assert function.spec.volumes == ()


def test_other_content_is_another_version_and_the_same_is_the_same() -> None:
    def version(system: SystemApps, core: CoreConfiguration) -> str:
        return next(system_apps(system, replace(NODE, core=core), [])).version

    system, default = listed(*ALL), CoreConfiguration()
    seldom = CoreConfiguration(frequency=60)
    cores = (default, seldom, CoreConfiguration("v2"))
    found = {version(system, core) for core in cores}
    found.add(version(replace(system, version="8"), default))
    assert len(found) == 4
    assert version(system, seldom) == version(system, CoreConfiguration(frequency=60))


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"modules": [{"name": "baetyl-broker", "image": " "}]}, "modules[0].image"),
        ({"modules": [{"name": "baetyl-broker", "image": "b"}] * 2}, "modules[1].name"),
        ({"modules": [{"name": "baetyl-core", "image": "c"}]}, "address"),
        (
            {"modules": [{"name": "baetyl-init", "image": "c"}], "address": "http://a:9005"},
            "address",
        ),
        ({"modules": [{"name": "baetyl-init", "image": "c"}], "address": "https://["}, "address"),
        ({"selector": "=,"}, "selector"),
        ({"hostPath": "var/lib"}, "hostPath"),
        (
            {"modules": [{"name": "baetyl-broker", "image": "b", "config": "x" * 70000}]},
            "modules[0].config",
        ),
    ],
)
def test_what_no_agent_could_run_is_refused(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        checked_system_apps(msgspec.convert(spec, SystemAppsSpec))
    assert caught.value.field.startswith(field)


def test_a_list_with_a_config_of_its_own_needs_no_address() -> None:
    spec = SystemAppsSpec((SystemModule(Module.CORE, "c", "a: b"),))
    assert checked_system_apps(spec) == spec
