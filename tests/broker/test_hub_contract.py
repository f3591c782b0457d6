"""Every promise of `broker.hub.Hub`; another implementation is one more parameter of `site`."""

import asyncio

from broker.topics import Channel, topic_for
from tests.broker.conftest import Connect, Site

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)


async def test_a_message_comes_out_as_it_was_published(site: Site, connect: Connect) -> None:
    hub = site.hub
    node = await connect(site, NODE)
    for channel in (Channel.REPORT, Channel.STATS, Channel.DESIRE):
        node.publish(topic_for(NODE, channel), channel.encode() + b"\x00\xff", packet_id=7)
        (message,) = await hub.receive(10)
        assert message.node_id == NODE
        assert message.channel is channel
        assert message.payload == channel.encode() + b"\x00\xff"


async def test_receive_takes_no_more_than_the_limit_and_keeps_the_order(
    site: Site, connect: Connect
) -> None:
    hub = site.hub
    node = await connect(site, NODE)
    for number in range(20):
        node.publish(REPORT, b"%d" % number, packet_id=number + 1)
    received: list[bytes] = []
    while len(received) < 20:
        messages = await hub.receive(3)
        assert 1 <= len(messages) <= 3
        received += [message.payload for message in messages]
    assert received == [b"%d" % number for number in range(20)]


async def test_ack_of_a_qos_0_message_sends_nothing(site: Site, connect: Connect) -> None:
    hub = site.hub
    node = await connect(site, NODE)
    node.publish(REPORT, b"{}", qos=0)
    (message,) = await hub.receive(1)
    message.ack()
    assert await node.is_alive()


async def test_a_push_reaches_the_node(site: Site, connect: Connect) -> None:
    hub = site.hub
    node = await connect(site, NODE, subscribe=True)
    for channel in (Channel.DELTA, Channel.DESIRE_RESPONSE):
        for payload in (b"", b"{}", b"x" * 200, b"y" * 70_000):
            assert hub.push(NODE, channel, payload)
            topic = topic_for(NODE, channel).encode()
            expected = len(topic).to_bytes(2) + topic + payload
            assert await node.read() == (0x30, expected)


async def test_a_push_reaches_no_other_node(site: Site, connect: Connect) -> None:
    hub = site.hub
    nodes = {name: await connect(site, name, subscribe=True) for name in (NODE, OTHER)}
    for name, node in nodes.items():
        assert hub.push(name, Channel.DELTA, name.encode())
        _, body = await node.read()
        assert body.endswith(b"/delta" + name.encode())
    for node in nodes.values():
        assert await node.is_alive()


async def test_disconnect_ends_the_connection(site: Site, connect: Connect) -> None:
    node = await connect(site, NODE, subscribe=True)
    other = await connect(site, OTHER)
    site.hub.disconnect(NODE)
    assert await node.rest() == b""
    assert await other.is_alive()


async def test_disconnect_of_nobody_does_nothing(site: Site) -> None:
    hub = site.hub
    hub.disconnect(NODE)


async def test_what_is_received_together_comes_from_several_nodes(
    site: Site, connect: Connect
) -> None:
    hub = site.hub
    nodes = [await connect(site, f"default.n{number}") for number in range(5)]
    for number, node in enumerate(nodes):
        node.publish(topic_for(f"default.n{number}", Channel.REPORT), b"%d" % number, packet_id=1)
    seen: dict[str, bytes] = {}
    async with asyncio.timeout(10):
        while len(seen) < 5:
            seen |= {message.node_id: message.payload for message in await hub.receive(100)}
    assert seen == {f"default.n{number}": b"%d" % number for number in range(5)}
