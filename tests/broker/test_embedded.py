"""The hub from opening to closing; D1 to D7 are defects found in amqtt 0.12.1."""

import asyncio
import gc
import logging
import socket
from dataclasses import replace
from datetime import timedelta

import psutil
import pytest

from broker.embedded import EmbeddedHub, HubLimits, Refusal
from broker.errors import HubClosed
from broker.hub import ShownCertificate
from broker.topics import Channel, topic_for
from tests.broker.authority import HubAuthority
from tests.broker.conftest import Connect, OpenHub
from tests.broker.node import (
    HubNode,
    receive_all,
    string,
    until,
)

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)
DELTA = topic_for(NODE, Channel.DELTA)
SOON = timedelta(milliseconds=200)


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


async def test_a_push_to_an_absent_node_returns_false(hub: EmbeddedHub, connect: Connect) -> None:
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


async def test_d1_a_certificate_opens_only_its_own_session(
    hub: EmbeddedHub, authority: HubAuthority, connect: Connect
) -> None:
    victim = await connect(hub, NODE, clean=False, subscribe=True)
    await victim.close()
    await until(lambda: not hub.is_connected(NODE))
    thief = await HubNode.open(hub.port, authority.client_context(OTHER))
    thief.connect(NODE, clean=False)
    assert await thief.connack() == 2
    assert await thief.rest() == b""
    assert hub.counters[Refusal.IDENTITY] == 1
    await thief.close()


async def test_d2_who_is_refused_does_not_touch_the_connected_node(
    hub: EmbeddedHub, authority: HubAuthority, connect: Connect
) -> None:
    victim = await connect(hub, NODE, subscribe=True)
    for clean in (True, False):
        thief = await HubNode.open(hub.port, authority.client_context(OTHER))
        thief.connect(NODE, clean=clean, login=("admin", "wrong"))
        assert await thief.connack() == 2
        await thief.close()
    assert hub.push(NODE, Channel.DELTA, b"{}")
    assert await victim.read() == (0x30, string(DELTA) + b"{}")
    assert await victim.is_alive()


async def test_d2_who_the_gate_refuses_does_not_touch_the_connected_node(
    open_hub: OpenHub, authority: HubAuthority, connect: Connect
) -> None:
    answers = [True, False]

    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        return answers.pop(0)

    async with open_hub(gate=gate) as hub:
        victim = await connect(hub, NODE, subscribe=True)
        revoked = await HubNode.open(hub.port, authority.client_context(NODE))
        revoked.connect(NODE)
        assert await revoked.connack() == 5
        assert await revoked.rest() == b""
        assert await victim.is_alive()
        assert hub.push(NODE, Channel.DELTA, b"{}")
        assert hub.counters[Refusal.GATE] == 1
        await revoked.close()


async def test_d7_a_second_connection_ends_the_first(hub: EmbeddedHub, connect: Connect) -> None:
    first = await connect(hub, NODE, subscribe=True)
    first.publish(REPORT, b"first", packet_id=1)
    (message,) = await hub.receive(1)
    second = await connect(hub, NODE, subscribe=True)
    message.ack()
    assert await first.rest() == b""
    assert hub.push(NODE, Channel.DELTA, b"{}")
    assert await second.read() == (0x30, string(DELTA) + b"{}")
    assert hub.connection_count == 1
    assert hub.counters[Refusal.REPLACED] == 1


async def test_d6_a_node_silent_for_one_and_a_half_keep_alives_is_closed(
    hub: EmbeddedHub, connect: Connect
) -> None:
    loop = asyncio.get_running_loop()
    node = await connect(hub, NODE, keep_alive=1)
    began = loop.time()
    assert await node.rest() == b""
    assert loop.time() - began >= 1.4
    assert not hub.is_connected(NODE)
    assert hub.counters[Refusal.SILENT] == 1


async def test_d6_a_node_that_pings_stays(open_hub: OpenHub, connect: Connect) -> None:
    async with open_hub(limits=replace(HubLimits(), node_messages_per_second=0)) as hub:
        node = await connect(hub, NODE, keep_alive=1)
        await connect(hub, OTHER, keep_alive=1)
        while hub.is_connected(OTHER):
            assert await node.is_alive()
            await asyncio.sleep(0.05)  # each ping takes CPU
        assert await node.is_alive()


async def test_d3_a_burst_before_disconnect_comes_out_whole(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=replace(HubLimits(), node_messages_per_second=0)) as hub:
        node = await connect(hub, NODE)
        for number in range(500):
            node.publish(REPORT, b"%d" % number + b"x" * 400, packet_id=number + 1)
        node.send(b"\xe0\x00")
        received = await receive_all(hub, 500)
        assert [int(message.payload.split(b"x")[0]) for message in received] == list(range(500))


async def test_d3_a_burst_before_the_connection_breaks_comes_out_whole(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=replace(HubLimits(), node_messages_per_second=0)) as hub:
        for _ in range(20):
            node = await connect(hub, NODE)
            for number in range(50):
                node.publish(REPORT, b"%d" % number, packet_id=number + 1)
            await node.writer.drain()
            node.writer.close()
            received = await receive_all(hub, 50)
            assert [message.payload for message in received] == [b"%d" % n for n in range(50)]


async def test_d5_nothing_is_retained(
    hub: EmbeddedHub, authority: HubAuthority, connect: Connect
) -> None:
    publisher = await connect(hub, NODE)
    publisher.publish(REPORT, b"{}", packet_id=1, retain=True)
    assert await publisher.rest() == b""
    assert hub.counters[Refusal.RETAINED] == 1
    assert hub.queued_count == 0
    await connect(hub, OTHER, subscribe=True)
    newcomer = await connect(hub, NODE, clean=False)
    newcomer.subscribe(REPORT, DELTA)
    assert await newcomer.read() == (0x90, b"\x00\x01\x80\x01")
    assert await newcomer.is_alive()


async def test_a_taken_port_is_an_error(open_hub: OpenHub) -> None:
    async with open_hub() as hub:
        with pytest.raises(OSError, match="in use"):
            async with open_hub(port=hub.port):
                pass


async def test_an_error_in_the_block_comes_out_as_it_is(open_hub: OpenHub) -> None:
    with pytest.raises(LookupError):
        async with open_hub():
            raise LookupError


async def test_closing_ends_every_connection_and_task(
    open_hub: OpenHub, authority: HubAuthority, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    before = asyncio.all_tasks()
    async with open_hub(limits=replace(HubLimits(), close_timeout=SOON)) as hub:
        node = await connect(hub, NODE, subscribe=True)
        deaf = await connect(hub, OTHER, subscribe=True)
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert hub.push(OTHER, Channel.DELTA, b"x" * 4_000_000)
        no_tls = socket.create_connection(("127.0.0.1", hub.port))
        no_connect = await HubNode.open(hub.port, authority.client_context(NODE))
        node.publish(REPORT, b"{}", packet_id=1)
        await until(lambda: hub.queued_count == 1)
    assert asyncio.all_tasks() == before
    open_sockets = psutil.Process().net_connections("tcp")
    assert not [one for one in open_sockets if one.laddr.port == hub.port]
    assert await node.rest() == b""
    assert await no_connect.rest() == b""
    no_tls.close()
    await no_connect.close()
    (message,) = await hub.receive(1)
    message.ack()
    with pytest.raises(HubClosed):
        await hub.receive(1)
    gc.collect()
    assert caplog.text == ""
