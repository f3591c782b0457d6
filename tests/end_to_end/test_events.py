"""Each event of a node is sent once, despite crashes in between."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import Server, make_batch, running_server, wait_for
from tests.end_to_end.sim import simulated
from tests.jobs.receiver import Got, receiving

pytestmark = pytest.mark.timeout(360)

PREFIX = "io.edgesync."


class EventFollower:
    """Follows the stream as a browser does: from the last id on, again and again."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._last = "0"

    @contextmanager
    def following(self, server: Server) -> Iterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=self._follow, args=(server, ended))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=60)

    def _follow(self, server: Server, ended: threading.Event) -> None:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": self._last}
        try:
            with (
                server.client() as client,
                client.stream("GET", "/v1/events", headers=headers, timeout=1) as answer,
            ):
                for line in answer.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "id":
                        self._last = value
                    if field == "data":
                        self.events.append(json.loads(value))
        except httpx.HTTPError:
            pass
        if not ended.is_set():
            self._follow(server, ended)

    def events_of(self, name: str) -> list[str]:
        """The types of the events of the node *name*."""
        about = {"kind": "node", "name": name}
        return [one["type"] for one in self.events if one["subject"] == about]


def test_each_event_of_a_node_is_sent_once_despite_crashes(tmp_path: Path) -> None:
    follower, data, folder = EventFollower(), tmp_path / "data", tmp_path / "nodes"
    both = first, second = "sim-0001", "sim-0002"
    arrived = ["node.activated", "node.ready", "node.converged"]
    with receiving() as receiver:
        with running_server(data) as server, server.client() as api, follower.following(server):
            hook = {"name": "hook", "url": receiver.url, "events": ["node.*"]}
            secret = api.post("/v1/callback", json=hook).json()["secret"]
            for name in both:
                api.post("/v1/nodes", json={"name": name, "labels": {"role": "x"}})
            batch = make_batch(api)
            for name in both:
                record = {"name": name, "fingerprintValue": name, "nodeName": name}
                api.post("/v1/register/b1/record", json=record)
            app = {"name": "web", "selector": "role=x", "services": [{"name": "web", "image": "i"}]}
            assert api.post("/v1/apps", json=app).status_code == 200
            with simulated(server, batch, folder, 2, interval=1):
                wait_for(
                    lambda: all("node.converged" in follower.events_of(one) for one in both), "both"
                )
            server.stop(signal.SIGKILL)
        with running_server(data) as server, server.client() as api, follower.following(server):
            with simulated(server, batch, folder, 1, interval=1):
                wait_for(lambda: "node.lost" in follower.events_of(second), "the loss", units=60)
            with simulated(server, batch, folder, 2, interval=1):
                wait_for(lambda: follower.events_of(second)[-1] == "node.ready", "the return")
                events = api.get("/v1/events").json()["items"]
            wait_for(lambda: len(follower.events) >= len(events), "all events")
            about_nodes = [one for one in follower.events if one["type"].startswith("node.")]
            wait_for(lambda: len(ids(receiver.got)) >= len(about_nodes), "the callback")
            kept = "/v1/callback/hook"
            wait_for(lambda: not api.get(kept).json()["state"]["pending"], "nothing left to tell")
            assert server.stop() == 0
    assert follower.events_of(first) == ["node.created", *arrived]
    assert follower.events_of(second) == ["node.created", *arrived, "node.lost", "node.ready"]
    numbers = [int(one["id"]) for one in follower.events]
    assert numbers == list(range(1, len(numbers) + 1))
    check_callbacks(receiver.got, secret, about_nodes)


def ids(got: list[Got]) -> set[str]:
    return {one.id for one in got}


def check_callbacks(got: list[Got], secret: str, events: list[dict[str, Any]]) -> None:
    """Each event was sent, signed, as one of CloudEvents; at least once."""
    received = {}
    for one in got:
        assert one.is_signed_with(secret)
        assert one.headers["content-type"] == "application/cloudevents+json"
        cloud_event = one.json
        assert one.id == f"event-{cloud_event['id']}-hook"
        assert cloud_event["specversion"] == "1.0"
        assert cloud_event["source"] == "/edgesync/default"
        assert cloud_event["datacontenttype"] == "application/json"
        received[cloud_event["id"]] = cloud_event
    assert [received[one["id"]]["data"] for one in events] == events
    for event in events:
        assert received[event["id"]]["type"] == f"{PREFIX}{event['type']}"
        assert received[event["id"]]["subject"] == f"node/{event['subject']['name']}"
        assert received[event["id"]]["time"] == event["time"]
    assert set(received) == {one["id"] for one in events}
