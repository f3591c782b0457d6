"""From REST to a node and back, with a foreign MQTT client."""

import base64
from typing import Any

import httpx
import pytest

from tests.deadlines import UNIT
from tests.end_to_end.conftest import Server, activate, kv, make_app, make_batch, wait_for
from tests.end_to_end.node import MqttNode, connected


@pytest.fixture
def batch(api: httpx.Client) -> dict[str, Any]:
    return make_batch(api, labels={"role": "gateway"})


def running(name: str, version: str) -> dict[str, Any]:
    return {
        "apps": [{"name": name, "version": version}],
        "appstats": [
            {
                "name": name,
                "version": version,
                "status": "Running",
                "instances": {
                    f"{name}-0": {"name": f"{name}-0", "serviceName": name, "status": "Running"}
                },
            }
        ],
    }


def apps_of(delta: Any) -> dict[str, str]:
    return {app["name"]: app["version"] for app in delta["content"].get("apps", ())}


def test_an_app_reaches_the_node_with_all_that_it_mounts_and_its_state_comes_back(
    server: Server, api: httpx.Client, batch: dict[str, Any]
) -> None:
    app = make_app(api, selector="role=gateway")
    identity = activate(server, batch, "n1")
    with connected(server, identity) as node:
        answer = node.report(apps=[], node={"hostname": "h"})
        assert apps_of(answer) == {"web": app["version"]}
        [value] = node.fetch(("application", "web"))["content"]["values"]
        assert value["version"] == app["version"]
        versions = {v["name"]: v for v in value["value"]["volumes"]}
        answer = node.fetch(("configuration", "web-conf"), ("secret", "web-password"))
        config, secret = (v["value"] for v in answer["content"]["values"])
        assert config["data"] == {"a.conf": "x = 1"}
        assert config["version"] == versions["conf"]["config"]["version"]
        assert base64.b64decode(secret["data"]["password"]) == b"s3cret"
        assert node.report(**running("web", app["version"]))["content"] == {}
    assert api.get("/v1/nodes/n1").json()["ready"] is True
    report = api.get("/v1/nodes/n1/stats").json()["report"]
    assert report["apps"] == [{"name": "web", "version": app["version"]}]
    assert report["appstats"][0]["status"] == "Running"
    assert [a["name"] for a in api.get("/v1/nodes/n1/apps").json()["items"]] == ["web"]


def test_every_kind_of_change_is_pushed_to_a_connected_node(
    server: Server, api: httpx.Client, batch: dict[str, Any]
) -> None:
    version = make_app(api, selector="role=gateway")["version"]
    with connected(server, activate(server, batch, "n1")) as node:
        node.report(**running("web", version))
        seen = {version}

        def pushed() -> dict[str, str]:
            return apps_of(node.next())

        body = {"data": [kv("a.conf", "x = 2")]}
        first = api.put("/v1/configs/web-conf", json=body).json()["version"]
        seen.add(pushed()["web"])
        assert api.put("/v1/configs/web-conf", json=body).json()["version"] == first
        api.put("/v1/secrets/web-password", json={"data": {"password": "new"}})
        seen.add(pushed()["web"])
        app = api.get("/v1/apps/web").json()
        api.put("/v1/apps/web", json={**app, "description": "changed"})
        seen.add(pushed()["web"])
        assert len(seen) == 4
        labels = api.get("/v1/nodes/n1").json()["labels"]
        api.put("/v1/nodes/n1", json={"labels": {**labels, "role": "other"}})
        assert pushed() == {}
        version = api.get("/v1/apps/web").json()["version"]
        node.report(apps=[])
        api.put("/v1/nodes/n1", json={"labels": labels})
        assert pushed() == {"web": version}
        node.report(**running("web", version))
        api.delete("/v1/apps/web")
        assert pushed() == {}
        # Nothing else was pushed: the second, equal put did nothing.
        assert node.report(apps=[])["content"] == {}
        assert node.received["delta"].empty()


def test_an_app_made_first_finds_nodes_that_come_later_and_no_others(
    server: Server, api: httpx.Client, batch: dict[str, Any]
) -> None:
    make_app(api, selector="role in (gateway),!retired")
    make_app(api, "nowhere", selector="")
    for name in ("n1", "n2"):
        with connected(server, activate(server, batch, name)) as node:
            assert set(apps_of(node.report(apps=[]))) == {"web"}
    other = make_batch(api, "b2", labels={"role": "camera"})
    with connected(server, activate(server, other, "n3")) as node:
        assert node.report(apps=[])["content"] == {}


def test_usage_between_reports_shows_in_the_stats(
    server: Server, api: httpx.Client, batch: dict[str, Any]
) -> None:
    with connected(server, activate(server, batch, "n1")) as node:
        node.report(
            apps=[],
            node={"hostname": "h", "arch": "amd64"},
            nodestats={
                "usage": {"cpu": "500m", "memory": "1Ki"},
                "capacity": {"cpu": "2", "memory": "2Ki"},
            },
        )
        node.send("stats", "stats", {"nodestats": {"usage": {"cpu": "1", "memory": "1536"}}})

        def usage() -> Any:
            return api.get("/v1/nodes/n1/stats").json()["report"]["nodestats"]

        wait_for(lambda: usage()["usage"]["cpu"] == "1", "the usage")
        assert usage()["percent"] == {"cpu": 0.5, "memory": 0.75}
        assert usage()["capacity"] == {"cpu": "2", "memory": "2048"}


def test_deleting_a_node_ends_its_connection_and_keeps_its_certificate_out(
    server: Server, api: httpx.Client, batch: dict[str, Any]
) -> None:
    identity = activate(server, batch, "n1")
    with connected(server, identity) as node:
        node.report(apps=[])
        node.client.reconnect_delay_set(1, 1)
        assert api.delete("/v1/nodes/n1").json() == {"success": True}
        assert node.disconnected.wait(20 * UNIT)
    again = MqttNode(identity)
    again.client.connect("localhost", server.mqtt_port)
    again.client.loop_start()
    assert again.disconnected.wait(20 * UNIT)
    again.client.loop_stop()
    assert again.refused != 0
    assert not again.connected.is_set()
    old = identity.cert.read_text(), identity.key.read_text()
    fresh = activate(server, batch, "n1")
    with connected(server, fresh) as node:
        node.report(apps=[])
    identity.cert.write_text(old[0])
    identity.key.write_text(old[1])
    late = MqttNode(identity)
    late.client.connect("localhost", server.mqtt_port)
    late.client.loop_start()
    assert late.disconnected.wait(20 * UNIT)
    late.client.loop_stop()
    assert late.refused != 0


def test_nodes_cannot_read_or_write_what_is_not_theirs(
    server: Server, api: httpx.Client, batch: dict[str, Any]
) -> None:
    victim, attacker = (activate(server, batch, name) for name in ("n1", "n2"))
    make_app(api, selector="baetyl-node-name=n1")
    with connected(server, victim) as node:
        node.report(apps=[], node={"hostname": "mine"})
        with connected(server, attacker) as other:
            answer = other.fetch(("secret", "web-password"))
            assert (answer["kind"], answer["meta"]["code"]) == ("error", "ResourceNotFound")
            other.client.subscribe(victim.topic("delta"), 1)
            forged = '{"kind":"report","content":{"node":{"hostname":"forged"}}}'
            other.client.publish(victim.topic("report"), forged, qos=1)
            assert other.disconnected.wait(20 * UNIT)
        assert node.report(apps=[], node={"hostname": "mine"})["kind"] == "report"
    report = api.get("/v1/nodes/n1/stats").json()["report"]
    assert report["node"]["hostname"] == "mine"


def test_bad_messages_are_answered_and_the_connection_stays(
    server: Server, api: httpx.Client, batch: dict[str, Any]
) -> None:
    with connected(server, activate(server, batch, "n1")) as node:
        for payload in (b"", b"{", b"\xc1\xff", b"[" * 3000, b'{"kind":"cmd"}'):
            node.client.publish(node.identity.topic("report"), payload, qos=1)
            answer = node.next()
            assert (answer["kind"], answer["meta"]["code"]) == ("error", "RequestParamInvalid")
        assert node.report(apps=[])["content"] == {}
        assert not node.disconnected.is_set()
