"""What present-day agents read of an app beside the fields of the page."""

from typing import Any

import msgspec
import pytest

from cloud.core.app import App, AppSpec, uses_of
from cloud.core.app_checks import checked_app_spec
from cloud.core.decoding import convert
from cloud.core.delivery import app_value
from cloud.core.kinds import CONFIG
from tests.core.refusals import field_refused
from tests.core.strategies import START

PROBE = {"httpGet": {"port": 80, "path": "/healthz"}, "periodSeconds": 5}


def service(name: str = "web", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "nginx:1", **fields}


def checked(**fields: Any) -> AppSpec:
    return checked_app_spec(convert({"services": [service()], **fields}, AppSpec))


def refused(**fields: Any) -> str:
    return field_refused(lambda: checked(**fields))


PRESENT_DAY: dict[str, Any] = {
    "mode": "kube",
    "services": [
        service(
            imagePullPolicy="IfNotPresent",
            livenessProbe={"exec": {"command": ["true"]}},
            readinessProbe={**PROBE, "successThreshold": 2},
            startupProbe={"tcpSocket": {"port": 80}, "failureThreshold": 30},
            volumeMounts=[{"name": "tmp", "mountPath": "/tmp", "autoClean": True}],  # noqa: S108
        )
    ],
    "initServices": [service("prepare", args=["--once"])],
    "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}],
    "replica": 2,
    "workload": "job",
    "jobConfig": {
        "completions": 3,
        "parallelism": 2,
        "backoffLimit": 4,
        "restartPolicy": "OnFailure",
    },
    "hostNetwork": True,
    "minReadySeconds": 5,
    "progressDeadlineSeconds": 60,
}


def test_what_present_day_agents_read_is_kept() -> None:
    spec = checked(**PRESENT_DAY)
    stored = msgspec.json.encode(spec)
    assert msgspec.json.decode(stored, type=AppSpec) == spec
    shown = msgspec.to_builtins(spec)
    for field in ("mode", "replica", "workload", "jobConfig", "hostNetwork", "minReadySeconds"):
        assert shown[field] == PRESENT_DAY[field]
    assert shown["services"][0]["imagePullPolicy"] == "IfNotPresent"
    assert shown["services"][0]["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert shown["services"][0]["volumeMounts"][0]["autoClean"] is True
    assert shown["initServices"][0]["name"] == "prepare"


def test_what_is_not_given_is_not_there() -> None:
    shown = msgspec.to_builtins(checked())
    assert set(shown) == {
        *("selector", "labels", "description", "type", "services", "volumes", "registries")
    }


def test_what_holds_for_all_services_is_delivered_in_each() -> None:
    spec = checked(services=[service(), service("b")], replica=2, hostNetwork=True)
    value = app_value(App("default", "web", spec, "1", START, START), lambda *_: "1")
    assert [(one["replica"], one["hostNetwork"]) for one in value["services"]] == [(2, True)] * 2
    assert (value["replica"], value["hostNetwork"]) == (2, True)
    plain = app_value(App("default", "web", checked(), "1", START, START), lambda *_: "1")
    assert "replica" not in plain
    assert plain["services"][0]["replica"] == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"mode": "android"}, "mode"),
        ({"workload": "cronjob"}, "workload"),
        ({"jobConfig": {"restartPolicy": "Always"}}, "jobConfig.restartPolicy"),
        ({"jobConfig": {"completions": -1}}, "jobConfig.completions"),
        ({"jobConfig": {"suspend": True}}, "jobConfig.suspend"),
        ({"replica": -1}, "replica"),
        ({"services": [service(imagePullPolicy="Sometimes")]}, "services[0].imagePullPolicy"),
        ({"services": [service(livenessProbe={})]}, "services[0].livenessProbe"),
        (
            {"services": [service(startupProbe={**PROBE, "successThreshold": 2})]},
            "services[0].startupProbe.successThreshold",
        ),
        ({"services": [service(programConfig="x")]}, "services[0].programConfig"),
        ({"initServices": [service("a"), {"name": "b"}]}, "initServices[1].image"),
        ({"initServices": [service("web")]}, "initServices[0].name"),
        (
            {"initServices": [service("a", readinessProbe=PROBE)]},
            "initServices[0].readinessProbe",
        ),
        ({"initServices": [service("a", functions=[{"name": "f", "handler": "h"}])]},
         "initServices[0].functions"),
        ({"initServices": [service("a", volumeMounts=[{"name": "x", "mountPath": "/x"}])]},
         "initServices[0].volumeMounts[0].name"),
        (
            {"replica": 2, "services": [service(ports=[{"containerPort": 1, "hostPort": 1}])]},
            "services[0].ports[0].hostPort",
        ),
        ({"minReadySeconds": -1}, "minReadySeconds"),
        ({"minReadySeconds": 600}, "progressDeadlineSeconds"),
        ({"minReadySeconds": 5, "progressDeadlineSeconds": 5}, "progressDeadlineSeconds"),
        ({"progressDeadlineSeconds": 0}, "progressDeadlineSeconds"),
        (
            {"volumes": [{"name": "v", "emptyDir": {"medium": "Disk"}}]},
            "volumes[0].emptyDir.medium",
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "much"}}]},
            "volumes[0].emptyDir.sizeLimit",
        ),
        ({"volumes": [{"name": "v", "emptyDir": {"size": "1"}}]}, "volumes[0].emptyDir.size"),
    ],
)  # fmt: skip
def test_what_no_node_could_run_is_refused(fields: dict[str, Any], field: str) -> None:
    assert refused(**fields) == field


def test_an_empty_dir_that_is_stored_already_is_read() -> None:
    stored = b'{"volumes":[{"name":"v","emptyDir":{"any":"thing"}}]}'
    assert msgspec.json.decode(stored, type=AppSpec).volumes[0].empty_dir == {"any": "thing"}


def test_the_program_of_a_service_is_used() -> None:
    services = [{"name": "a", "programConfig": "prog"}]
    spec = convert({"mode": "native", "services": services}, AppSpec)
    [use] = uses_of(spec)
    assert (use.kind, use.name, use.field) == (
        CONFIG,
        "prog",
        "services[0].programConfig",
    )
