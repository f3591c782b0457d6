"""A node that repeats itself, as lists, streams, callbacks and metrics tell of it."""

from cloud.core.event import Event
from cloud.core.folding import WINDOW
from cloud.store.transaction import Transaction
from tests.rest.conftest import World
from tests.rest.test_events import following


async def test_the_events_of_a_flapping_node_are_folded_for_all_receivers(world: World) -> None:
    callback = {"name": "hook", "url": "http://127.0.0.1:9/", "events": ["node.*"]}
    await world.client.call("POST", "/v1/callback", callback)

    def flap(tx: Transaction) -> None:
        for number in range(162):
            for kind in ("node.failed", "node.converged"):
                event = Event(kind, "default", "node", "n1", world.clock.now, f"{number}")
                tx.record_event(event)

    await world.store.write(flap)
    while await world.feed.round():
        pass
    world.clock.now += WINDOW
    async with following(world, "type=node.failed") as stream:
        await world.feed.round()
        received = await stream.event()
    answer = await world.client.call("GET", "/v1/events?type=node.failed")
    assert answer["total"] == 11
    newest = answer["items"][0]
    assert (newest["count"], newest["message"]) == (152, "161")
    assert newest["firstTime"] == newest["time"] == "2026-01-02T03:04:05.678901Z"
    assert received["count"] == 152
    waiting = (await world.client.call("GET", "/v1/callback/hook"))["state"]["pending"]
    assert waiting == 22
    counted = (await world.client.send("GET", "/metrics")).text
    assert 'edgesync_limits_refusals_total{bound="node_events"} 302.0' in counted
