"""Every promise of `broker.hub.Hub`; another implementation is one more parameter of `hub`."""

import asyncio

from broker.embedded import EmbeddedHub
from broker.topics import Channel, topic_for
from tests.broker.conftest import Connect
from tests.broker.node import until

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)


async def test_a_message_comes_out_as_it_was_published(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE)
    for channel in (Channel.REPORT, Channel.STATS, Channel.DESIRE):
        node.publish(topic_for(NODE, channel), channel.encode() + b"\x00\xff", packet_id=7)
        (message,) = await hub.receive(10)
        assert message.node_id == NODE
        assert message.channel is channel
        assert message.payload == channel.encode() + b"\x00\xff"


async def test_nothing_is_acknowledged_before_ack(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE)
    for number in range(1, 6):
        node.publish(REPORT, b"{}", packet_id=number)
    messages: list[object] = []
    while len(messages) < 5:
        messages += await hub.receive(10)
    assert await node.is_alive()  # the answer to the ping comes first: no PUBACK is on its way


async def test_ack_acknowledges_its_own_message(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE)
    node.publish(REPORT, b"{}", packet_id=300)
    node.publish(REPORT, b"{}", packet_id=301)
    first = (await hub.receive(1))[0]
    second = (await hub.receive(1))[0]
    second.ack()
    assert await node.acked(1) == [301]
    first.ack()
    assert await node.acked(1) == [300]


async def test_receive_takes_no_more_than_the_limit_and_keeps_the_order(
    hub: EmbeddedHub, connect: Connect
) -> None:
    node = await connect(hub, NODE)
    for number in range(20):
        node.publish(REPORT, b"%d" % number, packet_id=number + 1)
    received: list[bytes] = []
    while len(received) < 20:
        messages = await hub.receive(3)
        assert 1 <= len(messages) <= 3
        received += [message.payload for message in messages]
    assert received == [b"%d" % number for number in range(20)]


async def test_ack_of_a_qos_0_message_sends_nothing(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE)
    node.publish(REPORT, b"{}", qos=0)
    (message,) = await hub.receive(1)
    message.ack()
    assert await node.is_alive()


async def test_a_second_ack_does_nothing(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE)
    node.publish(REPORT, b"{}", packet_id=9)
    (message,) = await hub.receive(1)
    message.ack()
    message.ack()
    assert await node.acked(1) == [9]
    assert await node.is_alive()


async def test_ack_after_the_node_has_gone_does_nothing(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE)
    node.publish(REPORT, b"{}", packet_id=9)
    (message,) = await hub.receive(1)
    await node.close()
    await until(lambda: not hub.is_connected(NODE))
    message.ack()


async def test_a_push_reaches_the_node(hub: EmbeddedHub, connect: Connect) -> None:
    node = await connect(hub, NODE, subscribe=True)
    for channel in (Channel.DELTA, Channel.DESIRE_RESPONSE):
        for payload in (b"", b"{}", b"x" * 200, b"y" * 70_000):
            assert hub.push(NODE, channel, payload)
            topic = topic_for(NODE, channel).encode()
            expected = len(topic).to_bytes(2) + topic + payload
            assert await node.read() == (0x30, expected)


async def test_a_push_reaches_no_other_node(hub: EmbeddedHub, connect: Connect) -> None:
    nodes = {name: await connect(hub, name, subscribe=True) for name in (NODE, OTHER)}
    for name, node in nodes.items():
        assert hub.push(name, Channel.DELTA, name.encode())
        _, body = await node.read()
        assert body.endswith(b"/delta" + name.encode())
    for node in nodes.values():
        assert await node.is_alive()


async def test_a_push_says_when_it_went_nowhere(hub: EmbeddedHub, connect: Connect) -> None:
    assert not hub.push(NODE, Channel.DELTA, b"{}")
    node = await connect(hub, NODE)
    assert not hub.push(NODE, Channel.DELTA, b"{}")
    node.subscribe(topic_for(NODE, Channel.DELTA))
    await node.read()
    assert hub.push(NODE, Channel.DELTA, b"{}")
    assert not hub.push(NODE, Channel.DESIRE_RESPONSE, b"{}")
    await node.close()
    await until(lambda: not hub.is_connected(NODE))
    assert not hub.push(NODE, Channel.DELTA, b"{}")


async def test_a_node_is_connected_from_connack_to_the_end(
    hub: EmbeddedHub, connect: Connect
) -> None:
    assert not hub.is_connected(NODE)
    node = await connect(hub, NODE)
    assert hub.is_connected(NODE)
    assert not hub.is_connected(OTHER)
    await node.close()
    await until(lambda: not hub.is_connected(NODE))


async def test_disconnect_ends_the_connection_and_its_acks(
    hub: EmbeddedHub, connect: Connect
) -> None:
    node = await connect(hub, NODE, subscribe=True)
    node.publish(REPORT, b"{}", packet_id=9)
    (message,) = await hub.receive(1)
    hub.disconnect(NODE)
    assert not hub.is_connected(NODE)
    assert not hub.push(NODE, Channel.DELTA, b"{}")
    message.ack()
    assert await node.rest() == b""


async def test_disconnect_of_nobody_does_nothing(hub: EmbeddedHub) -> None:
    hub.disconnect(NODE)


async def test_what_is_received_together_comes_from_several_nodes(
    hub: EmbeddedHub, connect: Connect
) -> None:
    nodes = [await connect(hub, f"default.n{number}") for number in range(5)]
    for number, node in enumerate(nodes):
        node.publish(topic_for(f"default.n{number}", Channel.REPORT), b"%d" % number, packet_id=1)
    seen: dict[str, bytes] = {}
    async with asyncio.timeout(10):
        while len(seen) < 5:
            seen |= {message.node_id: message.payload for message in await hub.receive(100)}
    assert seen == {f"default.n{number}": b"%d" % number for number in range(5)}
