"""An app's body as typed values: every field is honoured or refused by name."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.app import AppSpec
from edgesync_agent.fields import SpecError
from edgesync_agent.parsing import read_app
from edgesync_agent.spec import ProbeDefinition, RestartRule


def body(**fields: Any) -> dict[str, Any]:
    return {"name": "web", "version": "7", **fields}


def service(**fields: Any) -> dict[str, Any]:
    return body(services=[{"name": "web", "image": "nginx:1", **fields}])


def refused_field(content: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as error:
        read_app(content)
    return error.value.field


def test_what_the_server_sends_with_all_defaults_is_accepted() -> None:
    spec = AppSpec(selector="a=b", labels={"l": "1"}, description="d")
    app = read_app({**body(namespace="default", createTime="t"), **msgspec.to_builtins(spec)})
    assert (app.name, app.version, app.services) == ("web", "7", ())


def test_every_field_of_a_service_has_its_value() -> None:
    content = service(
        replica=2,
        hostname="h",
        args=["a"],
        command=["c"],
        workingDir="/w",
        env=[{"name": "A", "value": "1"}],
        volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "s", "readOnly": True}],
        ports=[{"containerPort": 80, "hostPort": 8080, "protocol": "UDP", "hostIP": "127.0.0.1"}],
        devices=[{"devicePath": "/dev/null", "policy": "r"}],
        resources={"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "0.1"}},
        security={"privileged": True},
        restart={
            "policy": "OnFailure",
            "retry": {"max": 3},
            "backoff": {"min": 10**9, "max": 4 * 10**9, "factor": 1.5},
        },
    )
    content["volumes"] = [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    app = read_app(content)
    (one,) = app.services
    assert (one.replicas, one.cpu, one.memory, one.requested_cpu) == (2, 5 * 10**8, 2**26, 10**8)
    assert one.restart == RestartRule("OnFailure", 3, 1.0, 4.0, 1.5, has_own_backoff=True)
    assert one.devices[0].access == "r"
    assert (one.ports[0].host_port, one.ports[0].protocol) == (8080, "udp")
    assert one.mounts[0].read_only
    assert one.privileged
    assert (app.volume("v").in_memory, app.volume("v").size_limit) == (True, 2**20)


def test_probes_have_the_defaults_of_kubernetes() -> None:
    (one,) = read_app(service(readinessProbe={"httpGet": {"port": 80}})).services
    assert one.readiness == ProbeDefinition(
        "httpGet", port=80, period=10, timeout=1, success_threshold=1, failure_threshold=3
    )
    assert (one.liveness, one.startup) == (None, None)


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("r.example:5000/nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("nginx@sha256:0", "IfNotPresent"),
    ],
)
def test_an_image_is_looked_up_as_kubernetes_does(image: str, policy: str) -> None:
    (one,) = read_app(service(image=image)).services
    assert one.pull_policy == policy


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (body(nodeSelector="a=b"), "nodeSelector"),
        (body(type="helm"), "type"),
        (body(cronStatus=1), "cronStatus"),
        (body(autoScaleCfg={"minReplicas": 1}), "autoScaleCfg"),
        (service(image=""), "services[0].image"),
        (service(lifecycle={"preStop": {}}), "services[0].lifecycle"),
        (service(resources={"limits": {"gpu": "1"}}), "services[0].resources.limits.gpu"),
        (service(resources={"limits": {"cpu": "much"}}), "services[0].resources.limits.cpu"),
        (service(ports=[{"containerPort": 0}]), "services[0].ports[0].containerPort"),
        (service(readinessProbe={"grpc": {"port": 1}}), "services[0].readinessProbe"),
        (
            service(readinessProbe={"httpGet": {"port": "http"}}),
            "services[0].readinessProbe.httpGet.port",
        ),
        (
            service(readinessProbe={"exec": {"command": ["a"]}, "unknownSeconds": 1}),
            "services[0].readinessProbe.unknownSeconds",
        ),
        (
            service(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            "services[0].volumeMounts[0].name",
        ),
        (service(devices=[{"devicePath": "null"}]), "services[0].devices[0].devicePath"),
        (service(restart={"policy": "Sometimes"}), "services[0].restart.policy"),
        (body(volumes=[{"name": "v"}]), "volumes[0]"),
        (body(volumes=[{"name": "../v", "emptyDir": {}}]), "volumes[0].name"),
        (body(services={}), "services"),
        (body(services=[1]), "services[0]"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(content: dict[str, Any], field: str) -> None:
    assert refused_field(content) == field


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "image", "services", "volumes", "ports", "exec", "min"])
            | st.text(max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(plain, st.sampled_from(["services", "volumes", "jobConfig", "replica", "mode", "x"]))
def test_any_content_is_read_or_refused(content: Any, key: str) -> None:
    with contextlib.suppress(SpecError):
        assert read_app({**body(), key: content}).name == "web"
