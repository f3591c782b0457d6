"""What the agent does with what it receives, beside a model of the server."""

import base64
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.clock import Clock
from edgesync_agent.node import INFO_LIMIT, AgentNode
from edgesync_agent.releases import Releases


class FakeServer:
    """Answers by docs/protocol.md; messages of the node wait in *messages*."""

    def __init__(self) -> None:
        self.apps: dict[str, dict[str, Any]] = {}
        self.bodies: dict[tuple[str, str], dict[str, Any]] = {}
        self.messages: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    def send(self, channel: str, kind: str, meta: dict[str, Any], content: Any) -> None:
        assert channel == kind
        json.dumps([meta, content])
        self.messages.append((channel, meta, content))

    def add(self, name: str, version: str, **bodies: tuple[str, dict[str, str]]) -> None:
        volumes = []
        for resource, (kind, data) in bodies.items():
            volumes.append({"name": resource, kind: {"name": resource, "version": "1"}})
            word = "configuration" if kind == "config" else kind
            value = {"name": resource, "version": "1", "data": data}
            self.bodies[word, resource] = value
        self.apps[name] = {"name": name, "version": version, "volumes": volumes}
        self.bodies["application", name] = self.apps[name]

    def delta(self) -> dict[str, Any]:
        apps = [{"name": n, "version": app["version"]} for n, app in self.apps.items()]
        return {"apps": apps, "sysapps": []}

    def values(self, infos: list[dict[str, str]]) -> dict[str, Any]:
        found = [(i, self.bodies[i["kind"], i["name"]]) for i in infos]
        return {
            "values": [
                {"kind": i["kind"], "name": i["name"], "version": body["version"], "value": body}
                for i, body in found
            ]
        }


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


class FakeApps:
    """What runs apps: all of them at once, and gone as soon as they are not desired."""

    def __init__(self) -> None:
        self.desired: dict[str, str] = {}
        self.prepared: dict[str, str] = {}
        self.arrivals = 0
        self.entries: list[dict[str, Any]] = []
        self.stale: set[tuple[str, str]] = set()
        self.reported: dict[str, str] = {}

    def desire(self, versions: Mapping[str, str]) -> None:
        self.desired = dict(versions)

    def prepare(self, versions: Mapping[str, str]) -> None:
        self.prepared = dict(versions)

    def is_prepared(self, name: str, version: str) -> bool:
        return self.prepared.get(name) == version

    def arrived(self) -> None:
        self.arrivals += 1

    def statuses(self) -> list[dict[str, Any]]:
        return self.entries

    def drift_reported(self, times: Mapping[str, str]) -> None:
        self.reported.update(times)

    def take_stale(self) -> set[tuple[str, str]]:
        found, self.stale = self.stale, set()
        return found


@pytest.fixture
def apps() -> FakeApps:
    return FakeApps()


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "apps")


@pytest.fixture
def node(releases: Releases, apps: FakeApps) -> AgentNode:
    return AgentNode(releases, apps, "run", lambda line: None, Clock())


def tell(node: AgentNode, server: FakeServer, content: Any, *, now: float = 0, **meta: Any) -> None:
    message = {"kind": "report", "meta": meta, "content": content}
    node.take("delta", json.dumps(message).encode(), server.send, now)


def converse(node: AgentNode, server: FakeServer) -> None:
    """Answer every desire until there are no more."""
    while server.messages:
        channel, meta, content = server.messages.pop(0)
        if channel == "desire":
            assert 0 < len(content["infos"]) <= INFO_LIMIT
            message = {"kind": "desire", "meta": meta, "content": server.values(content["infos"])}
            node.take("desire-response", json.dumps(message).encode(), server.send, 0)


def reported(node: AgentNode, server: FakeServer) -> dict[str, Any]:
    node.report(server.send, {"hostname": "h"}, {})
    content: dict[str, Any] = server.messages.pop()[2]
    return content


def test_an_app_becomes_files_and_is_handed_over(
    node: AgentNode, server: FakeServer, apps: FakeApps
) -> None:
    encoded = base64.b64encode(b"\x00secret").decode()
    server.add("web", "7", conf=("config", {"a.conf": "x"}), pw=("secret", {"pw": encoded}))
    assert reported(node, server)["apps"] == []
    tell(node, server, server.delta(), seq=1)
    assert node.answered
    converse(node, server)
    assert node.changed
    assert apps.desired == {"web": "7"}
    assert apps.arrivals == 1
    apps.entries = [{"name": "web", "version": "7", "status": "Running", "cause": ""}]
    report = reported(node, server)
    assert report["apps"] == [{"name": "web", "version": "7"}]
    assert report["appstats"] == apps.entries
    folder = node.releases.folder / "web" / "7"
    assert (folder / "config" / "conf" / "a.conf").read_text() == "x"
    secret = folder / "secret" / "pw" / "pw"
    assert secret.read_bytes() == b"\x00secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    tell(node, server, {}, seq=2)
    assert not server.messages
    assert not node.changed


def test_what_is_no_longer_desired_is_named_until_it_is_gone(
    node: AgentNode, server: FakeServer, apps: FakeApps
) -> None:
    server.add("web", "7", conf=("config", {"a.conf": "x"}))
    tell(node, server, server.delta())
    converse(node, server)
    server.apps.clear()
    apps.entries = [{"name": "web", "version": "7", "status": "Running", "cause": ""}]
    tell(node, server, server.delta())
    assert apps.desired == {}
    assert reported(node, server)["apps"] == [{"name": "web", "version": "7"}]
    apps.entries = []
    assert reported(node, server)["apps"] == []


def test_what_was_fetched_is_known_after_a_start_without_a_server(
    node: AgentNode, server: FakeServer, releases: Releases, apps: FakeApps
) -> None:
    server.add("web", "7", conf=("config", {"a.conf": "x"}))
    tell(node, server, server.delta())
    converse(node, server)
    releases.keep_desired(apps.desired)
    again = AgentNode(Releases(releases.folder), apps, "run2", lambda line: None, Clock())
    assert reported(again, server)["apps"] == [{"name": "web", "version": "7"}]
    tell(again, server, server.delta())
    assert not server.messages


def test_what_was_gone_is_named_until_the_server_has_it(
    node: AgentNode, server: FakeServer, apps: FakeApps
) -> None:
    drift = {"service": "s", "time": "2026-01-02T03:04:05Z"}
    apps.entries = [{"name": "web", "version": "7", "status": "Running", "drift": drift}]
    assert reported(node, server)["appstats"][0]["drift"] == drift
    tell(node, server, server.delta())  # pushed: not an answer
    assert apps.reported == {}
    tell(node, server, {}, seq=1)
    assert apps.reported == {"web": "2026-01-02T03:04:05Z"}


def test_files_whose_urls_are_too_old_are_asked_for_again(
    node: AgentNode, server: FakeServer, apps: FakeApps
) -> None:
    server.add("web", "7")
    tell(node, server, server.delta())
    converse(node, server)
    apps.stale = {("web", "7"), ("gone", "1")}
    node.tend(server.send, 100.0)
    assert [meta["x-baetyl-request-id"] for _, meta, _ in server.messages] == ["web"]
    converse(node, server)
    assert apps.arrivals == 2


def test_a_world_that_has_moved_on_is_not_taken(node: AgentNode, server: FakeServer) -> None:
    server.add("web", "7", conf=("config", {"a.conf": "x"}))
    old = server.delta()
    server.add("web", "8", conf=("config", {"a.conf": "x"}))
    tell(node, server, old)
    converse(node, server)
    assert reported(node, server)["apps"] == []
    server.bodies["configuration", "conf"]["version"] = "2"
    tell(node, server, server.delta())
    converse(node, server)
    assert reported(node, server)["apps"] == []
    server.bodies["configuration", "conf"]["version"] = "1"
    tell(node, server, server.delta())
    converse(node, server)
    assert reported(node, server)["apps"] == [{"name": "web", "version": "8"}]


def test_many_bodies_are_asked_for_in_groups(node: AgentNode, server: FakeServer) -> None:
    many = {f"c{number}": ("config", {"f": str(number)}) for number in range(INFO_LIMIT + 5)}
    server.add("web", "7", **many)
    tell(node, server, server.delta())
    converse(node, server)
    folder = node.releases.folder / "web" / "7" / "config"
    assert len(list(folder.iterdir())) == INFO_LIMIT + 5


def test_no_answer_means_asking_again_after_a_while(node: AgentNode, server: FakeServer) -> None:
    server.add("web", "7")
    for now, asked in ((0, 1), (1, 1), (31, 2)):
        tell(node, server, server.delta(), now=now)
        assert len(server.messages) == asked


def test_an_error_means_asking_again_at_the_next_delta(node: AgentNode, server: FakeServer) -> None:
    server.add("web", "7")
    tell(node, server, server.delta())
    (_, meta, _) = server.messages.pop()
    error = {"kind": "error", "meta": meta, "content": "not found"}
    node.take("desire-response", json.dumps(error).encode(), server.send, 0)
    tell(node, server, server.delta())
    converse(node, server)
    assert reported(node, server)["apps"] == [{"name": "web", "version": "7"}]


@pytest.mark.parametrize("key", ["../../x", "..", ".", "", "a/b", "/etc/x", "a\0b", "a\nb"])
def test_no_path_is_built_from_a_name(
    node: AgentNode, server: FakeServer, tmp_path: Path, key: str
) -> None:
    server.add("web", "7", conf=("config", {key: "x"}))
    server.add("good", "8")
    tell(node, server, server.delta())
    converse(node, server)
    report = reported(node, server)
    assert report["apps"] == [{"name": "good", "version": "8"}]
    assert {one["name"]: one["status"] for one in report["appstats"]} == {"web": "Failed"}
    assert [path.name for path in tmp_path.iterdir()] == ["apps"]
    # The same again would fail again; another version is tried.
    tell(node, server, server.delta())
    assert not server.messages
    server.add("web", "9", conf=("config", {"a": "x"}))
    tell(node, server, server.delta())
    converse(node, server)
    assert len(reported(node, server)["apps"]) == 2


@pytest.mark.parametrize("name", ["..", "../x", "a/b", ""])
def test_an_app_with_such_a_name_is_not_even_asked_for(
    node: AgentNode, server: FakeServer, name: str
) -> None:
    tell(node, server, {"apps": [{"name": name, "version": "1"}]})
    assert not server.messages


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"kind": "report", "meta": [], "content": {}}',
        b'{"kind": "report", "meta": {}, "content": {"apps": 1}}',
        b'{"kind": "report", "meta": {}, "content": {"apps": [1]}}',
        b'{"kind": "desire", "meta": {}, "content": {"values": 1}}',
        b'{"kind": "error", "meta": {}, "content": "no"}',
    ],
)
def test_what_cannot_be_understood_does_no_harm(
    node: AgentNode, server: FakeServer, payload: bytes
) -> None:
    for channel in ("delta", "desire-response", "other"):
        node.take(channel, payload, server.send, 0)
    assert not server.messages
    assert reported(node, server)["apps"] == []


def test_desired_properties_are_stored_for_programs_and_reported(
    node: AgentNode, server: FakeServer
) -> None:
    assert "nodeprops" not in reported(node, server)
    wanted = {"door": "shut"}
    tell(node, server, {**server.delta(), "nodeprops": wanted})
    assert json.loads(node.releases.folder.with_name("properties.json").read_text()) == wanted
    assert node.changed
    assert reported(node, server)["nodeprops"] == wanted
    tell(node, server, {**server.delta(), "nodeprops": wanted})
    assert not node.changed


def test_only_the_answer_to_the_last_report_ends_the_wait_for_it(
    node: AgentNode, server: FakeServer
) -> None:
    assert not node.waiting
    for _ in range(2):
        reported(node, server)
    tell(node, server, {}, seq=1, run="run")
    tell(node, server, {})  # pushed
    assert node.waiting
    tell(node, server, {}, seq=2, run="run")
    assert not node.waiting
    reported(node, server)
    assert node.waiting
    error = {"kind": "error", "meta": {"seq": 3}, "content": "no"}
    node.take("delta", json.dumps(error).encode(), server.send, 0)
    assert not node.waiting


def offered(server: FakeServer, *offers: dict[str, Any], **versions: str) -> dict[str, Any]:
    """A delta with *versions* to run, and offers of what the server has now."""
    return {
        "apps": [{"name": name, "version": version} for name, version in versions.items()],
        "offer": list(offers),
    }


@pytest.fixture
def running(node: AgentNode, server: FakeServer) -> AgentNode:
    """A node that runs version 7, beside a server that has version 8."""
    server.add("web", "7")
    tell(node, server, server.delta())
    converse(node, server)
    server.add("web", "8", conf=("config", {"a.conf": "y"}))
    return node


def test_what_is_offered_is_fetched_and_not_desired(
    running: AgentNode, server: FakeServer, apps: FakeApps
) -> None:
    offer = {"name": "web", "version": "8", "notBefore": "2030-01-01T00:00:00Z"}
    tell(running, server, offered(server, offer, web="7"))
    assert running.changed
    assert reported(running, server)["offers"] == [{**offer, "fetched": False}]
    converse(running, server)
    assert (apps.desired, apps.prepared) == ({"web": "7"}, {"web": "8"})
    content = reported(running, server)
    assert content["offers"] == [{**offer, "fetched": True}]
    assert content["apps"] == [{"name": "web", "version": "7"}]
    # Fetched once, also where the server repeats the offer.
    tell(running, server, offered(server, offer, web="7"), now=100.0)
    assert not server.messages


def test_what_was_offered_is_applied_at_once_when_it_is_desired(
    running: AgentNode, server: FakeServer, apps: FakeApps
) -> None:
    tell(running, server, offered(server, {"name": "web", "version": "8"}, web="7"))
    converse(running, server)
    tell(running, server, offered(server, web="8"))
    assert not server.messages
    assert (apps.desired, apps.prepared) == ({"web": "8"}, {})
    content = reported(running, server)
    assert content["apps"] == [{"name": "web", "version": "8"}]
    assert content["offers"] == []


def test_what_may_not_run_yet_runs_when_its_time_has_come(
    running: AgentNode, server: FakeServer, apps: FakeApps
) -> None:
    now = 1_800_000_000.0  # 2027-01-15T08:00:00Z
    running.clock.read = lambda: now
    running.clock.skew = 0.0
    offer = {"name": "web", "version": "8", "notBefore": "2027-01-15T08:00:10Z"}
    tell(running, server, offered(server, offer, web="8"))
    converse(running, server)
    assert (apps.desired, apps.prepared) == ({"web": "7"}, {"web": "8"})
    running.tend(server.send, 9.0)
    assert apps.desired == {"web": "7"}
    now += 10
    running.tend(server.send, 10.0)
    assert (apps.desired, apps.prepared) == ({"web": "8"}, {})
    assert reported(running, server)["apps"] == [{"name": "web", "version": "8"}]
    assert not server.messages


def test_an_offer_whose_answer_is_lost_is_asked_for_again(
    running: AgentNode, server: FakeServer
) -> None:
    delta = offered(server, {"name": "web", "version": "8"}, web="7")
    tell(running, server, delta, now=1.0)
    tell(running, server, delta, now=2.0)
    assert len(server.messages) == 1
    tell(running, server, delta, now=40.0)
    assert len(server.messages) == 2
    late = json.dumps({"kind": "desire", "meta": server.messages[0][1], "content": {"values": []}})
    running.take("desire-response", late.encode(), server.send, 41.0)
    server.messages.pop(0)
    converse(running, server)
    assert running.ready == {("web", "8")}


def test_an_offer_that_is_withdrawn_is_forgotten(
    running: AgentNode, server: FakeServer, apps: FakeApps
) -> None:
    tell(running, server, offered(server, {"name": "web", "version": "8"}, web="7"))
    tell(running, server, offered(server, web="7"))
    converse(running, server)
    assert apps.prepared == {}
    assert reported(running, server)["offers"] == []


def test_the_answer_of_the_user_is_part_of_the_report(
    running: AgentNode, server: FakeServer
) -> None:
    answer = {"answer": "deferred", "until": "2030-01-01T00:00:00Z", "reason": "machine in use"}
    running.offers.answer = lambda app, version: answer if (app, version) == ("web", "8") else {}
    offer = {"name": "web", "version": "8", "consent": True}
    tell(running, server, offered(server, offer, {"name": "db", "version": "9"}, web="7"))
    web, db = reversed(reported(running, server)["offers"])
    assert web == {**offer, "fetched": False, **answer}
    assert db == {"name": "db", "version": "9", "fetched": False}
