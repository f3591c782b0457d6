"""Stock agents against a real server, over both of their links."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.baetyl.agent import INIT, AgentFailed, StockAgent
from tests.baetyl.conftest import AgentCloud
from tests.baetyl.links import HttpsLink, MqttLink, https_link, mqtt_link
from tests.end_to_end.conftest import Identity, Server, wait_for

AnyLink = HttpsLink | MqttLink
Connect = Callable[[Server, Identity], AbstractContextManager[AnyLink]]


@contextmanager
def mqtt_link_qos_0(server: Server, identity: Identity) -> Iterator[AnyLink]:
    with mqtt_link(server, identity, qos=0) as link:
        yield link


LINKS = pytest.mark.parametrize("connect", [https_link, mqtt_link, mqtt_link_qos_0])


def mine(identity: Identity) -> str:
    return f"baetyl-node-name={identity.name}"


def settle(agent: StockAgent, link: AnyLink) -> None:
    """Report and apply deltas until the server sends an empty one."""

    def is_settled() -> bool:
        link.sync(agent)
        with contextlib.suppress(AgentFailed):
            agent.tick()
        desire, unset = agent.desire, dict[str, Any]()
        agent.desire = unset
        link.sync(agent)
        if agent.desire is not unset:
            return False
        agent.desire = desire
        return True

    wait_for(is_settled, "the server to be content")


@LINKS
def test_an_agent_runs_what_it_should_with_all_that_belongs_to_it(
    cloud: AgentCloud, connect: Connect
) -> None:
    identity, name = cloud.node(), cloud.name("web")
    original = 'host = {{ .Hostname }}\n{{{ "quoted" }}} \\ {{/* x */}} ä'
    cloud.config(f"{name}-conf", a_conf=original, b_conf="plain")
    secret = {"name": f"{name}-password", "data": {"password": "{{öpen}}"}}
    cloud.call("POST", "/v1/secrets", secret)
    credentials = {"address": "hub.example.com", "username": "puller", "password": "s3cret"}
    cloud.call("POST", "/v1/registries", {"name": f"{name}-hub", **credentials})
    volumes = [
        {"name": "conf", "config": {"name": f"{name}-conf"}},
        {"name": "password", "secret": {"name": f"{name}-password"}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "data", "hostPath": {"path": "/data"}},
    ]
    app = cloud.app(name, mine(identity), volumes=volumes, registries=[{"name": f"{name}-hub"}])
    with connect(cloud.server, identity) as link:
        agent = StockAgent(link)
        settle(agent, link)
    assert agent.running["apps"] == {name: app["version"]}
    assert agent.applied == [(name, app["version"])]
    assert agent.causes == {}
    assert agent.files[f"{name}-conf"] == {"a.conf": original.encode(), "b.conf": b"plain"}
    assert agent.files[f"{name}-password"] == {"password": "{{öpen}}".encode()}
    assert agent.pull_secrets == {f"{name}-hub": credentials}
    shown = cloud.stats(identity)
    assert [entry["name"] for entry in shown["appstats"]] == [name]
    assert shown["appstats"][0]["status"] == "Running"
    assert shown["node"]["hostname"] == "edge-1"
    assert not shown["time"].startswith("2001")


@LINKS
def test_the_first_report_holds_only_the_core(cloud: AgentCloud, connect: Connect) -> None:
    identity, name = cloud.node(), cloud.name("web")
    app = cloud.app(name, mine(identity))
    with connect(cloud.server, identity) as link:
        agent = StockAgent(link)
        assert agent.report.keys() == {"core"}
        link.sync(agent)
    assert agent.desire == {"apps": [{"name": name, "version": app["version"]}]}


@LINKS
def test_many_apps_converge_whatever_order_the_agent_finds_them_in(
    cloud: AgentCloud, connect: Connect
) -> None:
    identity, stem = cloud.node(), cloud.name("app")
    names = [f"{stem}-{letter}" for letter in "qjxbz"]
    for name in names:
        cloud.app(name, mine(identity))
    with connect(cloud.server, identity) as link:
        agent = StockAgent(link, seed=7)
        settle(agent, link)
        assert sorted(agent.running["apps"]) == sorted(names)
        assert len(agent.applied) == len(names)
        cloud.call("DELETE", f"/v1/apps/{names[2]}")
        settle(agent, link)
        assert agent.deleted == [names[2]]
        changed = cloud.call("GET", f"/v1/apps/{names[0]}")
        changed["services"][0]["image"] = "nginx:2"
        cloud.call("PUT", f"/v1/apps/{names[0]}", changed)
        settle(agent, link)
    assert len(agent.applied) == len(names) + 1
    assert sorted(agent.running["apps"]) == sorted({*names} - {names[2]})


@LINKS
def test_system_apps_an_agent_was_installed_with_stay(cloud: AgentCloud, connect: Connect) -> None:
    identity, name = cloud.node(), cloud.name("web")
    cloud.app(name, mine(identity))
    installed = {"baetyl-core-x1": "1", "baetyl-init-x1": "1", "baetyl-broker-x1": "1"}
    with connect(cloud.server, identity) as link:
        agent = StockAgent(link)
        agent.running["sysapps"] = dict(installed)
        agent.tick()
        settle(agent, link)
        cloud.call("DELETE", f"/v1/apps/{name}")
        settle(agent, link)
    assert agent.deleted == [name]
    assert agent.running["sysapps"] == installed


@LINKS
def test_a_change_between_delta_and_bodies_is_not_applied_in_part(
    cloud: AgentCloud, connect: Connect
) -> None:
    identity, name = cloud.node(), cloud.name("web")
    cloud.config(f"{name}-conf", a="1")
    volumes = [{"name": "conf", "config": {"name": f"{name}-conf"}}]
    cloud.app(name, mine(identity), volumes=volumes)
    with connect(cloud.server, identity) as link:
        agent = StockAgent(link)
        link.sync(agent)
        data = [{"key": "a", "value": {"type": "kv", "value": "2"}}]
        cloud.call("PUT", f"/v1/configs/{name}-conf", {"data": data})
        agent.tick()
        assert "failed to get application" in agent.causes[name]
        settle(agent, link)
    assert agent.files == {f"{name}-conf": {"a": b"2"}}
    assert len(agent.applied) == 1


@LINKS
def test_what_was_wanted_and_is_no_more_does_not_hold_an_agent_up(
    cloud: AgentCloud, connect: Connect
) -> None:
    identity, stem = cloud.node(), cloud.name("app")
    cloud.app(f"{stem}-kept", mine(identity))
    with connect(cloud.server, identity) as link:
        agent = StockAgent(link)
        settle(agent, link)
        cloud.app(f"{stem}-brief", mine(identity))
        link.sync(agent)
        assert len(agent.desire["apps"]) == 2
        cloud.call("DELETE", f"/v1/apps/{stem}-brief")
        settle(agent, link)
        agent.tick()
    assert [app["name"] for app in agent.desire["apps"]] == [f"{stem}-kept"]
    assert list(agent.running["apps"]) == [f"{stem}-kept"]


def test_an_agent_may_change_its_link_at_any_time(cloud: AgentCloud) -> None:
    identity, stem = cloud.node(), cloud.name("app")
    agent: StockAgent | None = None
    links: tuple[Connect, ...] = (https_link, mqtt_link, https_link, mqtt_link)
    for number, connect in enumerate(links):
        cloud.app(f"{stem}-{number}", mine(identity))
        with connect(cloud.server, identity) as link:
            agent = agent or StockAgent(link)
            agent.link = link
            settle(agent, link)
    assert agent is not None
    assert [name for name, _ in agent.applied] == [f"{stem}-{number}" for number in range(4)]


def test_a_change_is_pushed_over_mqtt(cloud: AgentCloud) -> None:
    identity, name = cloud.node(), cloud.name("web")
    with mqtt_link(cloud.server, identity) as link:
        agent = StockAgent(link)
        settle(agent, link)
        cloud.app(name, mine(identity))
        link.hear(agent)
        agent.tick()
        assert list(agent.running["apps"]) == [name]


@LINKS
def test_properties_go_both_ways(cloud: AgentCloud, connect: Connect) -> None:
    identity, name = cloud.node(), cloud.name("web")
    app = cloud.app(name, mine(identity))
    path = f"/v1/nodes/{identity.name}/properties"
    with connect(cloud.server, identity) as link:
        agent = StockAgent(link)
        settle(agent, link)
        cloud.call("PUT", path, {"state": {"desire": {"door": "{{shut}}"}}})
        link.sync(agent)
        apps = [{"name": name, "version": app["version"]}]
        assert agent.desire == {"apps": apps, "nodeprops": {"door": "{{shut}}"}}
        agent.tick()
        agent.report["nodeprops"] = dict(agent.desire["nodeprops"])
        settle(agent, link)
    assert cloud.call("GET", path)["state"]["report"] == {"door": "{{shut}}"}
    assert len(agent.applied) == 1


@LINKS
def test_what_is_not_the_nodes_own_fails_as_the_agent_expects(
    cloud: AgentCloud, connect: Connect
) -> None:
    identity = cloud.node()
    cloud.call("POST", "/v1/secrets", {"name": (name := cloud.name("other")), "data": {"a": "b"}})
    with connect(cloud.server, identity) as link:
        infos = [{"kind": "secret", "name": name, "version": "1"}]
        with pytest.raises(AgentFailed, match=rf"The \(secret\) resource \({name}\) is not found."):
            link.desire({"infos": infos})


def test_a_deleted_node_gets_an_error_over_https_and_is_disconnected_over_mqtt(
    cloud: AgentCloud,
) -> None:
    identity = cloud.node()
    with mqtt_link(cloud.server, identity) as over_mqtt:
        with https_link(cloud.server, identity) as over_https:
            agent = StockAgent(over_https)
            over_https.sync(agent)
            cloud.call("DELETE", f"/v1/nodes/{identity.name}")
            sentence = rf"The \(node\) resource \({identity.name}\) is not found\."
            with pytest.raises(AgentFailed, match=rf"\[404\] .*{sentence}"):
                over_https.sync(agent)
        wait_for(over_mqtt.lost.is_set, "the connection to end")


def test_the_init_process_changes_nothing_but_the_core(cloud: AgentCloud) -> None:
    identity, name = cloud.node(), cloud.name("web")
    cloud.app(name, mine(identity))
    with https_link(cloud.server, identity, INIT) as link:
        init = StockAgent(link, service=INIT)
        init.running["sysapps"] = {"baetyl-core-x1": "1", "baetyl-init-x1": "1"}
        for _ in range(3):
            link.sync(init)
            init.tick()
    assert init.applied == []
    assert init.deleted == []


@pytest.mark.parametrize("path", ["/v1/active", "/v1/active/"])
def test_an_agent_gets_its_key_and_one_certificate_where_it_looks_for_them(
    cloud: AgentCloud, path: str
) -> None:
    batch = cloud.call("POST", "/v1/register", {"name": cloud.name("b"), "enableWhitelist": 0})
    answer: dict[str, Any] = cloud.activate(batch, name := cloud.name("Edge-UP"), path)
    assert (answer["nodeName"], answer["namespace"]) == (name.lower(), "default")
    for key in ("certificate", "mqttCert"):
        assert answer[key]["cert"].count("BEGIN CERTIFICATE") == 1
        assert answer[key]["ca"].count("BEGIN CERTIFICATE") == 1
        assert "PRIVATE KEY" in answer[key]["key"]
        assert answer[key]["insecureSkipVerify"] is False
        assert answer[key]["clientAuthType"] == 0
    assert answer["certificate"] == answer["mqttCert"]


def test_system_apps_that_are_listed_replace_those_of_the_same_name(cloud: AgentCloud) -> None:
    identity = cloud.node()
    installed = {"baetyl-core-x1": "1", "baetyl-init-x1": "1"}
    image = "example.com/baetyl:v2.4.3"
    modules = [{"name": name, "image": image} for name in ("baetyl-core", "baetyl-init")]
    listed = {
        "modules": modules,
        "address": "https://sync.example.com:9005",
        "selector": f"baetyl-node-name={identity.name}",
    }
    with https_link(cloud.server, identity) as link:
        core, init = StockAgent(link), StockAgent(link, service=INIT)
        for agent in (core, init):
            agent.running["sysapps"] = dict(installed)
            agent.tick()
        link.sync(core)
        cloud.call("PUT", "/v1/sysapps", listed)
        for _ in range(2):
            for agent in (core, init):
                link.sync(agent)
                agent.tick()
        cloud.call("PUT", "/v1/sysapps", {})
        for agent in (core, init):
            link.sync(agent)
            agent.tick()
    assert core.deleted == init.deleted == []
    assert [name for name, _ in core.applied] == ["baetyl-init-x1"]
    assert [name for name, _ in init.applied] == ["baetyl-core-x1"]
    assert b"sync.example.com" in init.files["baetyl-core-conf-x1"]["conf.yml"]
