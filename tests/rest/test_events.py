"""What happened, over HTTP: as a list, and as it comes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.core.event import Event
from cloud.core.report import Order, read_report
from cloud.core.sending import WAITING_LIMIT, Delivery
from cloud.core.tokens import Role
from cloud.jobs.retention import Retention, RetentionLimit
from cloud.operations.events import prune_events
from cloud.operations.reports import receive_report
from cloud.rest.event_stream import StreamLimits
from cloud.rest.sessions import LIFETIME
from cloud.store.transaction import Transaction
from tests.deadlines import UNIT
from tests.rest.conftest import APP, CONFIG, NODE, TOKEN, World, caller, describe, open_world

SECONDS = 20 * UNIT


async def test_creations_changes_and_deletions_are_listed_newest_first(world: World) -> None:
    await world.client.call("POST", "/v1/configs", CONFIG)
    await world.client.call("PUT", "/v1/configs/site", CONFIG)  # changes nothing
    await world.client.call("PUT", "/v1/configs/site", {**CONFIG, "description": "x"})
    await world.client.call("DELETE", "/v1/configs/site")
    await world.feed.round()
    answer = await world.client.call("GET", "/v1/events")
    assert answer["total"] == 3
    assert [one["type"] for one in answer["items"]] == [
        "config.deleted",
        "config.updated",
        "config.created",
    ]
    assert answer["items"][1] == {
        "id": "2",
        "time": "2026-01-02T03:04:05.678901Z",
        "type": "config.updated",
        "namespace": "default",
        "subject": {"kind": "config", "name": "site"},
        "actor": {"kind": "administrator", "name": ""},
        "message": "config site was updated",
        "data": {"version": "2"},
        "count": 1,
        "firstTime": "2026-01-02T03:04:05.678901Z",
    }


async def test_no_secret_value_is_in_an_event(world: World) -> None:
    await describe(world.client)
    await world.client.call("PUT", "/v1/secrets/password", {"data": {"password": "other"}})
    await world.feed.round()
    text = (await world.client.send("GET", "/v1/events")).text
    for value in ("öpen", "other", "listen 80"):
        assert value not in text
    assert "secret.updated" in text


async def test_a_revoked_node_is_an_event(world: World) -> None:
    await world.client.call("POST", "/v1/nodes", NODE)
    await world.client.call("POST", "/v1/nodes/n1/revoke")
    await world.feed.round()
    (revoked, _) = (await world.client.call("GET", "/v1/events?type=node.*"))["items"]
    assert (revoked["type"], revoked["subject"]["name"]) == ("node.revoked", "n1")


async def test_a_record_that_is_reset_shuts_its_node_out(world: World) -> None:
    await world.client.call("POST", "/v1/register", {"name": "b"})
    record = {"name": "r", "fingerprintValue": "F", "nodeName": "n7"}
    await world.client.call("POST", "/v1/register/b/record", record)

    def activate(tx: Transaction) -> None:
        found = tx.record("default", "b", "r")
        assert found is not None
        tx.put_record(replace(found, active=True))

    await world.store.write(activate)
    await world.client.call("POST", "/v1/register/b/record/r/reset")
    await world.feed.round()
    items = (await world.client.call("GET", "/v1/events?limit=2"))["items"]
    assert [(one["type"], one["subject"]["name"]) for one in items] == [
        ("node.revoked", "n7"),
        ("record.updated", "b/r"),
    ]


async def test_records_that_are_generated_are_one_event_of_their_batch(world: World) -> None:
    await world.client.call("POST", "/v1/register", {"name": "b"})
    await world.client.call("POST", "/v1/register/b/generate", {"num": 3})
    await world.feed.round()
    (event, _) = (await world.client.call("GET", "/v1/events"))["items"]
    assert (event["type"], event["subject"]["name"]) == ("batch.updated", "b")
    assert event["data"] == {"records": 3}


async def test_what_was_refused_did_not_happen(world: World) -> None:
    await world.client.send("POST", "/v1/apps", APP)  # names a config that is not there
    planned = await world.client.call("POST", "/v1/nodes?dryRun=true", NODE)
    assert planned["action"] == "create"
    await world.feed.round()
    assert (await world.client.call("GET", "/v1/events"))["total"] == 0


async def test_events_are_filtered_and_paged(world: World) -> None:
    await describe(world.client)
    await world.client.within("other").call("POST", "/v1/nodes", NODE)
    await world.feed.round()

    async def found(query: str) -> list[str]:
        items = (await world.client.call("GET", f"/v1/events?{query}"))["items"]
        return [f"{one['id']} {one['type']}" for one in items]

    assert await found("") == [
        "4 app.created",
        "3 secret.created",
        "2 config.created",
        "1 node.created",
    ]
    assert await found("namespace=*&type=node.created") == ["5 node.created", "1 node.created"]
    assert await found("type=app.*,secret.created") == ["4 app.created", "3 secret.created"]
    assert await found("kind=config&name=site") == ["2 config.created"]
    assert await found("since=3") == ["4 app.created"]
    assert len(await found("since=2026-01-02T03:04:05Z")) == 4
    assert await found("since=2026-01-02T03:04:06Z") == []
    page = await world.client.call("GET", "/v1/events?limit=3")
    assert (page["total"], len(page["items"])) == (4, 3)
    token = page["listOptions"]["continue"]
    rest = await world.client.call("GET", f"/v1/events?limit=3&continue={token}")
    assert [one["id"] for one in rest["items"]] == ["1"]
    assert rest["listOptions"]["continue"] == ""


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("type=nodes.*", "type"),
        ("type=node.made", "type"),
        ("since=yesterday", "since"),
        ("since=2026-01-02T03:04:05", "since"),
        ("limit=x", "limit"),
        ("namespace=a/b", "namespace"),
    ],
)
async def test_a_filter_that_cannot_be_is_refused_by_name(
    world: World, query: str, field: str
) -> None:
    path = f"/v1/events?{query}"
    message = await world.client.refused("GET", path, status=400, code="RequestParamInvalid")
    assert f"({field}: " in message


async def test_a_place_that_is_not_kept_any_more_has_expired(world: World) -> None:
    await describe(world.client)
    await world.feed.round()
    token = (await world.client.call("GET", "/v1/events?limit=1"))["listOptions"]["continue"]
    await world.store.write(lambda tx: prune_events(tx, keep=1, oldest=world.clock.now))
    for query in (f"limit=1&continue={token}", "since=1"):
        path = f"/v1/events?{query}"
        await world.client.refused("GET", path, status=410, code="ResourceExpired")
    assert len((await world.client.call("GET", "/v1/events?since=3"))["items"]) == 1


async def test_what_is_old_or_too_much_goes(world: World) -> None:
    kept = RetentionLimit(timedelta(days=1), 2)
    retention = Retention(world.store, world.clock, kept, kept)
    await describe(world.client)
    await world.feed.round()
    assert await retention.prune_events() == 2
    assert await retention.prune_events() == 0
    world.clock.advance(24 * 3600 + 1)
    await world.client.call("POST", "/v1/nodes", {"name": "late"})
    await world.feed.round()
    assert await retention.prune_events() == 2
    (left,) = (await world.client.call("GET", "/v1/events"))["items"]
    assert left["subject"]["name"] == "late"


async def test_a_node_has_one_ready_event_at_its_first_report(
    world: World,
) -> None:
    await world.client.call("POST", "/v1/nodes", NODE)
    for number in range(3):
        await world.store.write_concurrent(report(world, number))
    await world.feed.round()
    types = [one["type"] for one in (await world.client.call("GET", "/v1/events"))["items"]]
    assert types == ["node.ready", "node.created"]


def report(world: World, number: int, **content: Any) -> Any:
    def work(tx: Transaction) -> None:
        report = read_report({"apps": [], **content}, Order("run", number))
        receive_report(tx, "default.n1", report, "json", now=world.clock.now)

    return work


# as they come


class Following:
    """One stream of events."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.comments = 0

    async def next(self) -> dict[str, str]:
        """The next message; empty at the end of the stream."""
        message: dict[str, str] = {}
        async with asyncio.timeout(SECONDS):
            async for line in self._lines:
                field, _, value = line.partition(":")
                if line and not field:
                    self.comments += 1
                elif line:
                    message[field] = value.removeprefix(" ")
                elif message:
                    return message
        return message

    async def event(self) -> dict[str, Any]:
        """The next message with content."""
        while "data" not in (message := await self.next()):
            assert message, "the stream has ended"
        data: dict[str, Any] = json.loads(message["data"])
        if message["event"] != "gap":
            assert (data["id"], data["type"]) == (message["id"], message["event"])
        return {**data, "event": message["event"]}


@contextlib.asynccontextmanager
async def following(
    world: World, query: str = "", *, http: httpx.AsyncClient | None = None, last: str = ""
) -> AsyncIterator[Following]:
    sent = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    client = http or world.client.http
    async with client.stream("GET", f"/v1/events?{query}", headers=sent, timeout=SECONDS) as got:
        assert got.status_code == 200, await got.aread()
        yield Following(got)


async def add_node(world: World, name: str, namespace: str = "default") -> None:
    await world.client.within(namespace).call("POST", "/v1/nodes", {"name": name})
    await world.feed.round()


async def test_events_are_followed_as_they_come(world: World) -> None:
    await add_node(world, "before")
    async with following(world) as stream:
        assert stream.response.headers["content-type"] == "text/event-stream"
        assert stream.response.headers["cache-control"] == "no-store"
        assert stream.response.headers["x-accel-buffering"] == "no"
        assert await stream.next() == {"retry": "2000", "id": "1"}
        for name in ("a", "b"):
            await add_node(world, name)
            assert (await stream.event())["subject"] == {"kind": "node", "name": name}


async def test_a_client_that_reconnects_receives_the_events_after_the_last_it_saw(
    world: World,
) -> None:
    for name in "abc":
        await add_node(world, name)
    for query, last in [("", "1"), ("lastEventId=1", "")]:
        async with following(world, query, last=last) as stream:
            assert [(await stream.event())["id"] for _ in range(2)] == ["2", "3"]
    await add_node(world, "d")
    async with following(world, "lastEventId=3") as stream:
        assert (await stream.event())["subject"]["name"] == "d"


async def test_a_long_history_is_sent_in_full_before_new_events(world: World) -> None:
    def many(tx: Transaction) -> None:
        for number in range(1500):
            name = f"n{number}"
            tx.record_event(Event("node.lost", "default", "node", name, world.clock.now, "x"))
        tx.number_events(1500)

    await world.store.write(many)
    async with following(world, "lastEventId=0") as stream:
        ids = [(await stream.event())["id"] for _ in range(1500)]
        assert ids == [str(number) for number in range(1, 1501)]
        await world.feed.round()
        await add_node(world, "n")
        assert (await stream.event())["id"] == "1501"


async def test_a_stream_is_filtered_like_a_list(world: World) -> None:
    query = "type=app.*,node.created&kind=node&name=b&lastEventId=0"
    async with following(world, query) as stream:
        await add_node(world, "b", "other")
        for name in "ab":
            await add_node(world, name)
        assert (await stream.event())["id"] == "3"
    async with following(world, "namespace=*&lastEventId=0") as stream:
        assert (await stream.event())["namespace"] == "other"


async def test_a_position_that_is_not_retained_is_reported_as_a_gap(world: World) -> None:
    for name in "abc":
        await world.client.call("POST", "/v1/nodes", {"name": name})
    await world.store.write(lambda tx: tx.number_events(9))
    await world.store.write(lambda tx: prune_events(tx, keep=1, oldest=world.clock.now))
    async with following(world, "lastEventId=1") as stream:
        assert await stream.event() == {"event": "gap", "after": "1", "from": "2"}
        assert (await stream.event())["id"] == "3"
    async with following(world, "lastEventId=77") as stream:
        assert await stream.event() == {"event": "gap", "after": "77", "from": "3"}
        await add_node(world, "d")
        assert (await stream.event())["id"] == "4"
    accept = {"Accept": "text/event-stream"}
    refused = await world.client.saying(**accept).send("GET", "/v1/events?lastEventId=x")
    assert refused.status_code == 400


async def test_a_viewer_follows_its_own_namespace_alone(world: World) -> None:
    body = {"name": "v", "role": Role.VIEWER.value, "namespace": "default"}
    token = (await world.client.call("POST", "/v1/tokens", body))["token"]
    async with caller(world.url, {"Authorization": f"Bearer {token}"}) as http:
        async with following(world, http=http) as stream:
            await add_node(world, "b", "other")
            await add_node(world, "a")
            assert (await stream.event())["namespace"] == "default"
        for query in ("namespace=*", "namespace=other"):
            accept = {"Accept": "text/event-stream"}
            refused = await http.get(f"/v1/events?{query}", headers=accept)
            assert refused.status_code == 403


QUICK = StreamLimits(total=3, of_one=2, heartbeat=timedelta(milliseconds=50))


async def test_a_stream_beats_and_ends_with_its_token(tmp_path: Path) -> None:
    async with open_world(tmp_path, stream_limits=QUICK) as world:
        body = {"name": "v", "role": Role.VIEWER.value, "namespace": "default"}
        token = (await world.client.call("POST", "/v1/tokens", body))["token"]
        async with (
            caller(world.url, {"Authorization": f"Bearer {token}"}) as http,
            following(world, http=http) as stream,
        ):
            await stream.next()
            assert await stream.next() == {"id": "0"}
            assert stream.comments == 1
            await world.client.call("DELETE", "/v1/tokens/v?namespace=default")
            while await stream.next():
                pass


async def test_a_browser_follows_by_its_session_until_that_has_ended(tmp_path: Path) -> None:
    async with open_world(tmp_path, stream_limits=QUICK) as world, caller(world.url) as http:
        own = {"X-Edgesync-CSRF": "1", "Origin": world.url}
        assert (await http.post("/session", json={"token": TOKEN}, headers=own)).status_code == 200
        async with following(world, http=http) as stream:
            await add_node(world, "a")
            assert (await stream.event())["subject"]["name"] == "a"
            world.clock.advance(LIFETIME.total_seconds())
            while await stream.next():
                pass


async def test_streams_are_counted_and_end_when_the_feed_is_closed(tmp_path: Path) -> None:
    async with open_world(tmp_path, stream_limits=QUICK) as world:
        accept = {"Accept": "text/event-stream"}
        async with following(world) as one, following(world) as two:
            await one.next()
            await two.next()
            refused = await world.client.saying(**accept).send("GET", "/v1/events")
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            metrics = (await world.client.send("GET", "/metrics")).text
            assert 'edgesync_limits_refusals_total{bound="event_streams"} 1.0' in metrics
            world.feed.close()
            for stream in (one, two):
                while await stream.next():
                    pass


async def test_who_takes_nothing_is_cut_off(tmp_path: Path) -> None:
    limits = StreamLimits(of_one=1, patience=timedelta(milliseconds=200))
    async with open_world(tmp_path, stream_limits=limits) as world:
        await world.store.write(lambda tx: _much(tx, world))
        host, _, port = world.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        token = world.client.http.headers["authorization"]
        writer.write(
            b"GET /v1/events?lastEventId=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            b"Authorization: " + token.encode() + b"\r\n\r\n"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        # Its place is free again once it was cut off, though it has not gone.
        async with asyncio.timeout(SECONDS):
            while True:
                accept = {"Accept": "text/event-stream"}
                async with world.client.http.stream("GET", "/v1/events", headers=accept) as got:
                    if got.status_code == 200:
                        break
        with contextlib.suppress(ConnectionError):
            while await reader.read(2**20):
                pass
        writer.close()


def _much(tx: Transaction, world: World) -> None:
    for _ in range(3000):
        data = {"text": "x" * 4000}
        tx.record_event(Event("node.lost", "default", "node", "n", world.clock.now, "", data))
    tx.number_events(3000)


# to callbacks

HOOK = {"name": "hook", "url": "https://example.com/hook", "events": ["app.*", "node.created"]}


async def queue_of(world: World, name: str = "hook") -> list[Delivery]:
    found = await world.store.read(lambda tx: tx.newest_deliveries("default", name, 99))
    return sorted(found, key=lambda each: (each.due or each.created, each.id))


async def test_a_callback_receives_the_events_it_subscribed_to(world: World) -> None:
    assert (await world.client.call("POST", "/v1/callback", HOOK))["events"] == HOOK["events"]
    await world.client.call("POST", "/v1/callback", {**HOOK, "name": "none", "events": []})
    world.woken.clear()
    await add_node(world, "other", "other")
    assert (await queue_of(world), world.woken) == ([], [])
    await describe(world.client)
    await world.feed.round()
    assert world.woken == ["callbacks"]
    queue = await queue_of(world)
    assert [json.loads(one.content)["type"] for one in queue] == [
        "io.edgesync.node.created",
        "io.edgesync.app.created",
    ]
    delivered = json.loads(queue[1].content)
    (event,) = (await world.client.call("GET", "/v1/events?type=app.created"))["items"]
    assert delivered == {
        "specversion": "1.0",
        "id": event["id"],
        "source": "/edgesync/default",
        "type": "io.edgesync.app.created",
        "subject": "app/web",
        "time": event["time"],
        "datacontenttype": "application/json",
        "data": event,
    }
    assert queue[1].content_type == "application/cloudevents+json"
    assert await queue_of(world, "none") == []


async def test_what_there_is_no_event_of_is_refused_and_the_rest_stays(world: World) -> None:
    await world.client.call("POST", "/v1/callback", HOOK)
    for events in (["node.made"], ["nodes.*"], [""]):
        message = await world.client.refused(
            "PUT", "/v1/callback/hook", {"events": events}, status=400, code="RequestParamInvalid"
        )
        assert "(events: " in message
    after = await world.client.call("PUT", "/v1/callback/hook", {"description": "x"})
    assert after["events"] == HOOK["events"]
    assert (await world.client.call("PATCH", "/v1/callback/hook", {"events": ["*"]}))["events"]


async def test_a_callback_that_fails_is_queued_no_more_than_the_limit(world: World) -> None:
    await world.client.call("POST", "/v1/callback", HOOK)

    now = world.clock.now

    def wait(tx: Transaction) -> None:
        for number in range(WAITING_LIMIT - 1):
            tx.put_delivery(Delivery(f"d{number}", "default", "hook", "{}", now, now))

    await world.store.write(wait)
    for name in "ab":
        await world.client.call("POST", "/v1/nodes", {"name": name})
    await world.feed.round()
    state = (await world.client.call("GET", "/v1/callback/hook"))["state"]
    assert state["pending"] == WAITING_LIMIT
    assert state["lastError"] == f"{WAITING_LIMIT} calls wait; later events are dropped"
