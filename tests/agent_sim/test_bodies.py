"""Bodies as the server sends them, and as it should not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sim.bodies import instances_of, parts_of, why_not_runnable
from agent_sim.model import BodyKind, BodyName, Part

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
VOLUME = st.fixed_dictionaries({}, optional={"name": JSON, "config": JSON, "secret": JSON}) | JSON
SERVICE = (
    st.fixed_dictionaries({}, optional={"name": JSON, "replica": JSON, "volumeMounts": JSON}) | JSON
)
BODY = st.fixed_dictionaries(
    {}, optional={"services": st.lists(SERVICE) | JSON, "volumes": st.lists(VOLUME) | JSON}
)

CONF = BodyName(BodyKind.CONFIGURATION, "c", "2")
CERT = BodyName(BodyKind.SECRET, "s", "3")


def test_parts_are_what_the_volumes_name_each_once() -> None:
    conf = {"name": "v1", "config": {"name": "c", "version": "2"}}
    cert = {"name": "v2", "secret": {"name": "s", "version": "3"}}
    host = {"name": "v3", "hostPath": {"path": "/x"}}
    assert parts_of({"volumes": [conf, cert, host, conf]}) == (CONF, CERT)


def test_a_reference_without_a_version_means_the_current_one() -> None:
    [info] = parts_of({"volumes": [{"name": "v", "config": {"name": "c"}}]})
    assert info == BodyName(BodyKind.CONFIGURATION, "c", "")


def test_there_is_one_instance_for_each_replica() -> None:
    body = {
        "services": [{"name": "web", "replica": 2}, {"name": "db"}, {"name": "x", "replica": 0}]
    }
    assert list(instances_of(body)) == [("web", "web-0"), ("web", "web-1"), ("db", "db-0")]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ({"services": {}}, ""),
        ({"services": "x"}, "services: not a list"),
        ({"services": [{}]}, "services[0]: no name"),
        ({"services": [{"name": "a"}, 1]}, "services[1]: no name"),
        ({"services": [{"name": "a", "replica": "2"}]}, "services[0]: replica"),
        ({"services": [{"name": "a", "replica": 10**9}]}, "services[0]: replica"),
        ({"services": [{"name": "a", "volumeMounts": [{"name": "v"}]}]}, "services[0]: mounts 'v'"),
        ({"volumes": 1}, "volumes: not a list"),
    ],
)
def test_why_an_app_cannot_run(body: dict[str, Any], cause: str) -> None:
    found = why_not_runnable(body, ())
    assert found.startswith(cause)
    assert bool(found) is bool(cause)


@pytest.mark.parametrize(
    ("info", "data", "is_fine"),
    [
        (CONF, {"a": "text"}, True),
        (CONF, None, True),
        (CONF, ["a"], False),
        (CONF, {"a": 1}, False),
        (CERT, {"a": "c2VjcmV0"}, True),
        (CERT, {"a": "not base64!"}, False),
        (CERT, {"a": "é"}, False),
    ],
)
def test_files_are_text_and_those_of_secrets_base64(
    info: BodyName,
    data: Any,
    is_fine: bool,  # noqa: FBT001
) -> None:
    assert (why_not_runnable({}, [Part(info, {"data": data})]) == "") is is_fine


@given(BODY)
def test_no_body_is_too_odd(body: dict[str, Any]) -> None:
    parts_of(body)
    if not why_not_runnable(body, ()):
        assert all(isinstance(name, str) for _, name in instances_of(body))
