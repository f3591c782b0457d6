from typing import Any

import pytest

from cloud.core.app import SIZE_LIMIT, App, AppSpec, Use, uses_of
from cloud.core.app_checks import checked_app_spec
from cloud.core.bounds import DESCRIPTION_LIMIT, LABEL_LENGTH_LIMIT, LABELS_LIMIT
from cloud.core.decoding import convert
from cloud.core.kinds import CONFIG, REGISTRY, SECRET
from cloud.core.selectors import parse_selector
from tests.core.refusals import field_refused
from tests.core.strategies import START

VOLUMES = [
    {"name": "conf", "config": {"name": "web-conf", "version": "ignored"}},
    {"name": "password", "secret": {"name": "web-password"}},
    {"name": "data", "hostPath": {"path": "/var/lib/web"}},
    {"name": "tmp", "emptyDir": {}},
]


def service(name: str = "web", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "nginx:1", **fields}


def checked(**fields: Any) -> AppSpec:
    """The app of an operator who sends *fields*; one service where they name none."""
    return checked_app_spec(convert({"services": [service()], **fields}, AppSpec))


def refused(**fields: Any) -> str:
    return field_refused(lambda: checked(**fields))


def ports(*given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"containerPort": 80, **port} for port in given]


def test_an_app_may_use_every_field_of_the_contract() -> None:
    spec = checked(
        selector="env=dev",
        labels={"any": "label"},
        description="a web server",
        type="container",
        services=[
            service(
                labels={"a": "b"},
                hostname="web",
                replica=1,
                volumeMounts=[
                    {"name": "conf", "mountPath": "/etc/web", "readOnly": True, "subPath": "x"},
                    {"name": "conf", "mountPath": "/etc/again", "immutable": True},
                ],
                ports=ports({"hostPort": 8080, "protocol": "tcp", "hostIP": "10.0.0.1"}),
                devices=[{"devicePath": "/dev/ttyS0", "policy": "rw", "description": "serial"}],
                args=["-v"],
                command=["nginx"],
                workingDir="/",
                env=[{"name": "A", "value": "1"}, {"name": "A"}],
                resources={"limits": {"cpu": "0.5", "memory": "50Mi", "gpu": "1"}},
                runtime="runc",
                restart={
                    "retry": {"max": 3},
                    "policy": "Always",
                    "backoff": {"min": 1, "max": 2**63 - 1, "factor": 1.5},
                },
                security={"privileged": True},
                hostNetwork=True,
            )
        ],
        volumes=VOLUMES,
        registries=[{"name": "hub"}],
    )
    assert spec.services[0].volume_mounts[0].read_only


def test_an_app_without_services_is_kept() -> None:
    assert checked(services=[]) == AppSpec()


@pytest.mark.parametrize("selector", ["env=", "env in (a,b),!zone", "", " "])
def test_an_app_knows_whom_it_selects(selector: str) -> None:
    app = App("default", "web", checked(selector=selector), "1", START, START)
    assert app.selector == parse_selector(selector)


@pytest.mark.parametrize("selector", ["env=a,", "env in ()", "a b"])
def test_a_selector_that_cannot_be_read_is_refused(selector: str) -> None:
    assert refused(selector=selector) == "selector"


def test_what_an_app_uses_is_named_with_the_place() -> None:
    spec = checked(volumes=VOLUMES, registries=[{"name": "hub"}])
    assert list(uses_of(spec)) == [
        Use(CONFIG, "web-conf", "volumes[0].config.name"),
        Use(SECRET, "web-password", "volumes[1].secret.name"),
        Use(REGISTRY, "hub", "registries[0].name"),
    ]


@pytest.mark.parametrize("name", ["", "a.b", "A", "a_b", "x" * 64, "a/b"])
def test_a_service_name_that_is_none_is_refused(name: str) -> None:
    assert refused(services=[service(), service(name)]) == "services[1].name"


def test_a_service_name_is_there_once() -> None:
    assert refused(services=[service(), service()]) == "services[1].name"


@pytest.mark.parametrize("image", ["", "  "])
def test_a_service_needs_an_image(image: str) -> None:
    assert refused(services=[service(image=image)]) == "services[0].image"


@pytest.mark.parametrize(
    "sources",
    [
        {},
        {"config": {"name": "a"}, "secret": {"name": "a"}},
        {"emptyDir": {}, "hostPath": {"path": "/a"}},
        {"config": {"name": "a"}, "secret": {"name": "a"}, "emptyDir": {}},
    ],
)
def test_a_volume_has_exactly_one_source(sources: dict[str, Any]) -> None:
    assert refused(volumes=[{"name": "v", **sources}]) == "volumes[0]"


def test_a_volume_is_there_once() -> None:
    assert refused(volumes=[VOLUMES[0], VOLUMES[0]]) == "volumes[1].name"


@pytest.mark.parametrize(
    ("volumes", "field"),
    [
        ([{"name": "a/b", "emptyDir": {}}], "volumes[0].name"),
        ([{"name": "v", "hostPath": {"path": " "}}], "volumes[0].hostPath.path"),
        ([{"name": "v", "hostPath": {"path": "/", "type": "Dir"}}], "volumes[0].hostPath.type"),
    ],
)
def test_a_volume_that_no_node_could_mount_is_refused(volumes: Any, field: str) -> None:
    assert refused(volumes=volumes) == field


@pytest.mark.parametrize(
    ("mounts", "field"),
    [
        ([{"name": "x", "mountPath": "/a"}], "[0].name"),
        ([{"name": "x" * 100_000, "mountPath": "/a"}], "[0].name"),
        ([{"name": "tmp", "mountPath": ""}], "[0].mountPath"),
        ([{"name": "tmp", "mountPath": "/a", "subPath": "../b"}], "[0].subPath"),
        ([{"name": "tmp", "mountPath": "/a", "subPath": "/b"}], "[0].subPath"),
        (
            [{"name": "tmp", "mountPath": "/a"}, {"name": "data", "mountPath": "/a"}],
            "[1].mountPath",
        ),
    ],
)
def test_a_mount_is_of_a_volume_and_has_a_place_of_its_own(mounts: Any, field: str) -> None:
    services = [service(volumeMounts=mounts)]
    assert refused(volumes=VOLUMES, services=services) == f"services[0].volumeMounts{field}"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"env": [{"name": "A"}, {"name": ""}]}, "env[1].name"),
        ({"env": [{"name": "A=B"}]}, "env[0].name"),
        ({"labels": {"a": "no label"}}, "labels.a"),
        ({"hostname": "no_host"}, "hostname"),
        ({"hostname": "h" * 64}, "hostname"),
        ({"devices": [{"devicePath": "/dev/a", "policy": "rx"}]}, "devices[0].policy"),
        ({"devices": [{"devicePath": "/dev/a", "policy": "rr"}]}, "devices[0].policy"),
        ({"ports": ports({"hostIP": "10.0.0.256"})}, "ports[0].hostIP"),
        ({"ports": ports({"hostIP": "localhost"})}, "ports[0].hostIP"),
        ({"restart": {"policy": "always"}}, "restart.policy"),
        ({"restart": {"policy": "Sometimes" * 1000}}, "restart.policy"),
        ({"restart": {"backoff": {"min": 2, "max": 1, "factor": 2}}}, "restart.backoff.max"),
        ({"restart": {"backoff": {"min": 1, "max": 2, "factor": 0.5}}}, "restart.backoff.factor"),
        ({"resources": {"limits": {"cpu": 0.5}}}, "resources.limits.cpu"),
        ({"resources": {"limits": {"memory": "1", "cpu": None}}}, "resources.limits.cpu"),
        ({"resources": {"limits": {"gpu": "any"}}}, "resources.limits.gpu"),
        ({"resources": {"requests": {str(n): "1" for n in range(33)}}}, "resources.requests"),
        ({"devices": [{"devicePath": " "}]}, "devices[0].devicePath"),
        ({"resources": {"limits": {"cpu": "much"}}}, "resources.limits.cpu"),
        ({"resources": {"requests": {"memory": "-1"}}}, "resources.requests.memory"),
        ({"ports": [{"containerPort": 0}]}, "ports[0].containerPort"),
        ({"ports": [{"containerPort": 65536}]}, "ports[0].containerPort"),
        ({"ports": [{"containerPort": 10**4000}]}, "ports[0].containerPort"),
        ({"ports": ports({"hostPort": -1})}, "ports[0].hostPort"),
        ({"ports": ports({"hostPort": 10**4000})}, "ports[0].hostPort"),
        ({"ports": ports({"protocol": "ICMP" * 1000})}, "ports[0].protocol"),
        ({"replica": 2, "ports": ports({"hostPort": 80})}, "ports[0].hostPort"),
        ({"replica": -1}, "replica"),
        ({"replica": 2**31}, "replica"),
        ({"replica": 10**30}, "replica"),
        ({"restart": {"retry": {"max": 2**31}}}, "restart.retry.max"),
        ({"restart": {"backoff": {"min": 2**63, "max": 1, "factor": 1}}}, "restart.backoff.min"),
        ({"restart": {"backoff": {"min": 1, "max": 10**30, "factor": 1}}}, "restart.backoff.max"),
    ],
)
def test_what_no_node_could_read_or_run_is_refused(fields: dict[str, Any], field: str) -> None:
    assert refused(services=[service("a"), service("b", **fields)]) == f"services[1].{field}"


@pytest.mark.parametrize("replica", [0, 1, 2])
def test_a_port_of_the_node_of_0_is_none(replica: int) -> None:
    spec = checked(services=[service(replica=replica, ports=ports({"hostPort": 0}, {}))])
    assert len(spec.services[0].ports) == 2


EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  # a value, not bound

WANTED: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"hostPort": 1}, {"hostPort": 1}, True),
    ({"hostPort": 1}, {"hostPort": 2}, False),
    ({"hostPort": 1}, {"hostPort": 1, "protocol": "UDP"}, False),
    ({"hostPort": 1, "protocol": "tcp"}, {"hostPort": 1, "protocol": "TCP"}, True),
    ({"hostPort": 1, "hostIP": "10.0.0.1"}, {"hostPort": 1, "hostIP": "10.0.0.2"}, False),
    ({"hostPort": 1, "hostIP": "10.0.0.1"}, {"hostPort": 1, "hostIP": "10.0.0.1"}, True),
    ({"hostPort": 1, "hostIP": "10.0.0.1"}, {"hostPort": 1}, True),
    ({"hostPort": 1, "hostIP": "10.0.0.1"}, {"hostPort": 1, "hostIP": EVERY_ADDRESS}, True),
    ({"hostPort": 1, "hostIP": "::"}, {"hostPort": 1, "hostIP": EVERY_ADDRESS}, True),
]


@pytest.mark.parametrize(("one", "other", "collide"), WANTED)
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_two_services_cannot_have_one_port_of_the_node(
    one: dict[str, Any], other: dict[str, Any], *, collide: bool, swapped: bool, together: bool
) -> None:
    first, second = (other, one) if swapped else (one, other)
    services = [service("a", ports=ports(first)), service("b", ports=ports(second))]
    field = "services[1].ports[0].hostPort"
    if together:
        services = [service("a", ports=ports(first, second))]
        field = "services[0].ports[1].hostPort"
    if collide:
        assert refused(services=services) == field
    else:
        checked(services=services)


def test_very_many_ports_are_checked_at_once() -> None:
    many = [{"hostPort": 1, "hostIP": f"10.0.{n // 250}.{n % 250}"} for n in range(10_000)]
    checked(services=[service(ports=ports(*many))])


@pytest.mark.parametrize("name", ["conf", "hub"])
def test_a_registry_is_there_once_and_no_volume_has_its_name(name: str) -> None:
    registries = [{"name": "hub"}, {"name": name}]
    assert refused(volumes=VOLUMES, registries=registries) == "registries[1].name"


@pytest.mark.parametrize(
    "fields",
    [
        {"restart": {"policy": "OnFailure"}},
        {"restart": {"policy": "Never", "backoff": {"min": 1, "max": 1, "factor": 1}}},
        {"devices": [{"devicePath": "/dev/a", "policy": policy} for policy in ("", "w", "rwm")]},
        {"ports": ports({"hostIP": "::1"}, {"hostIP": ""})},
        {"hostname": "web-1.example"},
        {"resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "1"}}},
    ],
)
def test_values_of_the_contract_are_taken(fields: dict[str, Any]) -> None:
    checked(services=[service(**fields)])


def test_no_part_of_an_app_is_without_a_bound() -> None:
    assert refused(description="d" * (DESCRIPTION_LIMIT + 1)) == "description"
    assert refused(labels={f"l{n}": "" for n in range(LABELS_LIMIT + 1)}) == "labels"
    assert refused(labels={"a": "v" * (LABEL_LENGTH_LIMIT + 1)}) == "labels.a"
    assert refused(services=[service(args=["a" * SIZE_LIMIT])]) == ""
