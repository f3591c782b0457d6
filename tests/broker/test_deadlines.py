"""A connection ends with the certificate it was made with, whatever the node does."""

import asyncio
from datetime import UTC, datetime, timedelta

from broker.embedded import HubLimits, Refusal
from broker.topics import Channel, topic_for
from tests.broker.authority import HubAuthority
from tests.broker.conftest import Connect, OpenHub, now_utc
from tests.broker.node import DEADLINE, until
from tests.deadlines import SLOWNESS

NODE = "default.gate-7"
OTHER = "default.gate-8"
ENDS = datetime(2080, 1, 1, tzinfo=UTC)
SOON = timedelta(milliseconds=200)
A_WHILE = timedelta(seconds=SLOWNESS)


async def test_a_connection_ends_when_its_certificate_does(
    open_hub: OpenHub, connect: Connect, authority: HubAuthority
) -> None:
    authority.issue(NODE + " short", [NODE], ends=ENDS)
    context = authority.client_context(None)
    context.load_cert_chain(authority.issue(NODE + " short", [NODE], ends=ENDS))
    ahead = ENDS - SOON - now_utc()
    async with open_hub(clock=lambda: now_utc() + ahead) as hub:
        other = await connect(hub, OTHER)
        node = await connect(hub, NODE, context=context)
        assert await node.rest() == b""
        assert now_utc() + ahead >= ENDS
        await until(lambda: not hub.is_connected(NODE))
        assert hub.counters == {Refusal.CERTIFICATE_ENDED: 1}
        assert await other.is_alive()


async def test_a_clock_that_is_set_while_a_node_talks_is_noticed(
    open_hub: OpenHub, connect: Connect
) -> None:
    ahead = timedelta(0)
    async with open_hub(
        limits=HubLimits(max_silence=A_WHILE), clock=lambda: now_utc() + ahead
    ) as hub:
        node = await connect(hub, NODE)
        assert await node.is_alive()
        ahead = timedelta(days=365 * 100)
        async with asyncio.timeout(DEADLINE):
            while hub.is_connected(NODE):
                await node.is_alive()
        assert hub.counters == {Refusal.CERTIFICATE_ENDED: 1}


async def test_a_node_that_is_not_read_for_now_ends_with_its_certificate_too(
    open_hub: OpenHub, connect: Connect
) -> None:
    ahead = timedelta(0)
    limits = HubLimits(max_silence=SOON, max_unacked=1)
    async with open_hub(limits=limits, clock=lambda: now_utc() + ahead) as hub:
        node = await connect(hub, NODE)
        node.publish(topic_for(NODE, Channel.REPORT), b"{}", packet_id=1)
        assert len(await hub.receive(10)) == 1
        ahead = timedelta(days=365 * 100)
        await until(lambda: not hub.is_connected(NODE))
        assert hub.counters == {Refusal.CERTIFICATE_ENDED: 1}
