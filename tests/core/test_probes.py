from typing import Any

import pytest

from cloud.core.decoding import convert
from cloud.core.probes import ServiceProbe, UriScheme, check_probe
from tests.core.refusals import field_refused

EXEC = {"exec": {"command": ["test", "-f", "/ready"]}}


def probe(**fields: Any) -> ServiceProbe:
    return convert(fields, ServiceProbe)


def refused(*, is_readiness: bool = True, **fields: Any) -> str:
    return field_refused(lambda: check_probe("p", probe(**fields), is_readiness=is_readiness))


def test_numbers_have_the_defaults_of_kubernetes() -> None:
    read = probe(**EXEC)
    numbers = (read.timeout_seconds, read.period_seconds, read.failure_threshold)
    assert (read.initial_delay_seconds, *numbers, read.success_threshold) == (0, 1, 10, 3, 1)


def test_a_number_of_0_is_its_default() -> None:
    zeros = {"timeoutSeconds": 0, "periodSeconds": 0, "successThreshold": 0, "failureThreshold": 0}
    assert probe(**EXEC, **zeros) == probe(**EXEC)


@pytest.mark.parametrize(
    "action",
    [
        EXEC,
        {"tcpSocket": {"port": 1883}},
        {"httpGet": {"port": 65535}},
        {
            "httpGet": {
                "port": 80,
                "path": "/healthz?full=1",
                "host": "10.0.0.1",
                "scheme": "HTTPS",
                "httpHeaders": [{"name": "X-Probe", "value": "1"}, {"name": "Accept"}],
            }
        },
    ],
)
def test_each_action_is_taken(action: dict[str, Any]) -> None:
    check_probe("p", probe(**action, periodSeconds=5), is_readiness=False)


def test_a_request_is_for_the_root_over_http_by_default() -> None:
    action = probe(httpGet={"port": 80}).http_get
    assert action
    assert (action.path, action.scheme, action.host) == ("/", UriScheme.HTTP, "")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "p"),
        ({"periodSeconds": 3}, "p"),
        ({**EXEC, "tcpSocket": {"port": 1}}, "p"),
        ({"exec": {"command": []}}, "p.exec.command"),
        ({"exec": {"command": [""]}}, "p.exec.command"),
        ({"tcpSocket": {"port": 0}}, "p.tcpSocket.port"),
        ({"tcpSocket": {"port": 65536}}, "p.tcpSocket.port"),
        ({"httpGet": {"port": -1}}, "p.httpGet.port"),
        ({"httpGet": {"port": 80, "path": "x"}}, "p.httpGet.path"),
        ({"httpGet": {"port": 80, "path": ""}}, "p.httpGet.path"),
        (
            {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b"}]}},
            "p.httpGet.httpHeaders[0].name",
        ),
        ({"httpGet": {"port": "http"}}, "httpGet.port"),
        ({"httpGet": {"port": 80, "scheme": "FTP"}}, "httpGet.scheme"),
        ({**EXEC, "periodSeconds": -1}, "periodSeconds"),
        ({**EXEC, "failureThreshold": 2**31}, "failureThreshold"),
        ({**EXEC, "perioSeconds": 1}, "perioSeconds"),
        ({"grpc": {"port": 1}}, "grpc"),
    ],
)
def test_what_kubernetes_refuses_is_refused(fields: dict[str, Any], field: str) -> None:
    assert refused(**fields) == field


def test_only_readiness_may_need_several_successes() -> None:
    check_probe("p", probe(**EXEC, successThreshold=2), is_readiness=True)
    field = refused(is_readiness=False, **EXEC, successThreshold=2)
    assert field == "p.successThreshold"
