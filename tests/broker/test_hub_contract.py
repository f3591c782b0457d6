"""Every promise of `broker.hub.Hub`; another implementation is one more parameter of `site`."""

import asyncio
from datetime import timedelta

from broker.topics import Channel, topic_for
from tests.broker.conftest import Connect, HubSite
from tests.broker.node import DEADLINE
from tests.deadlines import UNIT

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)


async def test_a_message_comes_out_as_it_was_published(site: HubSite, connect: Connect) -> None:
    hub = site.hub
    node = await connect(site, NODE)
    for channel in (Channel.REPORT, Channel.STATS, Channel.DESIRE, Channel.COMMAND_RESPONSE):
        node.publish(topic_for(NODE, channel), channel.encode() + b"\x00\xff", packet_id=7)
        (message,) = await hub.receive(10)
        assert message.node_id == NODE
        assert message.channel is channel
        assert message.payload == channel.encode() + b"\x00\xff"


async def test_receive_takes_no_more_than_the_limit_and_keeps_the_order(
    site: HubSite, connect: Connect
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


async def test_ack_of_a_qos_0_message_sends_nothing(site: HubSite, connect: Connect) -> None:
    hub = site.hub
    node = await connect(site, NODE)
    node.publish(REPORT, b"{}", qos=0)
    (message,) = await hub.receive(1)
    message.ack()
    assert await node.is_alive()


async def test_a_push_reaches_the_node(site: HubSite, connect: Connect) -> None:
    hub = site.hub
    node = await connect(site, NODE, subscribe=True)
    for channel in (Channel.DELTA, Channel.DESIRE_RESPONSE):
        for payload in (b"", b"{}", b"x" * 200, b"y" * 70_000):
            assert hub.push(NODE, channel, payload)
            topic = topic_for(NODE, channel).encode()
            expected = len(topic).to_bytes(2) + topic + payload
            assert await node.read() == (0x30, expected)


async def test_a_push_reaches_no_other_node(site: HubSite, connect: Connect) -> None:
    hub = site.hub
    nodes = {name: await connect(site, name, subscribe=True) for name in (NODE, OTHER)}
    for name, node in nodes.items():
        assert hub.push(name, Channel.DELTA, name.encode())
        _, body = await node.read()
        assert body.endswith(b"/delta" + name.encode())
    for node in nodes.values():
        assert await node.is_alive()


async def test_what_is_sent_reaches_the_node_and_no_other(site: HubSite, connect: Connect) -> None:
    node = await connect(site, NODE, subscribe=True)
    other = await connect(site, OTHER, subscribe=True)
    assert await site.hub.send(NODE, Channel.COMMAND, b"do", timedelta(seconds=30))
    first, body = await node.read()
    topic = topic_for(NODE, Channel.COMMAND).encode()
    assert first & 0xF0 == 0x30
    assert body[2 : 2 + len(topic)] == topic
    assert body.endswith(b"do")
    assert await other.is_alive()


async def test_a_message_without_a_subscriber_is_not_sent(site: HubSite, connect: Connect) -> None:
    async def is_sent() -> bool:
        return await site.hub.send(NODE, Channel.COMMAND, b"do", timedelta(seconds=30))

    assert not await is_sent()
    node = await connect(site, NODE)
    node.subscribe(topic_for(NODE, Channel.DELTA))
    assert await node.read() == (0x90, b"\x00\x01\x01")
    assert not await is_sent()
    node.subscribe(topic_for(NODE, Channel.COMMAND))
    await node.read()
    assert await is_sent()
    await node.close()
    async with asyncio.timeout(DEADLINE):
        while await is_sent():  # noqa: ASYNC110  # the hub has no event for it
            await asyncio.sleep(0.01)


async def test_a_node_receives_no_command_of_another_node_and_cannot_answer_for_it(
    site: HubSite, connect: Connect
) -> None:
    node = await connect(site, NODE, subscribe=True)
    other = await connect(site, OTHER)
    other.subscribe(topic_for(NODE, Channel.COMMAND))
    await other.read()  # refused, or granted and never served
    assert await site.hub.send(NODE, Channel.COMMAND, b"do", timedelta(seconds=30))
    assert await other.is_alive()
    other.publish(topic_for(NODE, Channel.COMMAND_RESPONSE), b"false", packet_id=2)
    node.publish(topic_for(NODE, Channel.COMMAND_RESPONSE), b"true", packet_id=2)
    (message,) = await site.hub.receive(10)
    assert (message.node_id, message.payload) == (NODE, b"true")


async def test_disconnect_ends_the_connection(site: HubSite, connect: Connect) -> None:
    node = await connect(site, NODE, subscribe=True)
    other = await connect(site, OTHER)
    site.hub.disconnect(NODE)
    assert await node.rest() == b""
    assert await other.is_alive()


async def test_disconnect_of_an_unknown_client_does_nothing(site: HubSite) -> None:
    hub = site.hub
    hub.disconnect(NODE)


async def test_what_is_received_together_comes_from_several_nodes(
    site: HubSite, connect: Connect
) -> None:
    hub = site.hub
    nodes = [await connect(site, f"default.n{number}") for number in range(5)]
    for number, node in enumerate(nodes):
        node.publish(topic_for(f"default.n{number}", Channel.REPORT), b"%d" % number, packet_id=1)
    seen: dict[str, bytes] = {}
    async with asyncio.timeout(20 * UNIT):
        while len(seen) < 5:
            seen |= {message.node_id: message.payload for message in await hub.receive(100)}
    assert seen == {f"default.n{number}": b"%d" % number for number in range(5)}
