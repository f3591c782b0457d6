"""Clients of others: what they send is taken, what is pushed reaches them."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from broker.embedded import EmbeddedHub, Refusal
from broker.topics import Channel, topic_for
from tests.broker.authority import HubAuthority
from tests.broker.conftest import Connect
from tests.broker.node import DEADLINE, until

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)
DELTA = topic_for(NODE, Channel.DELTA)


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is required in CI")
        pytest.skip(f"{name} is not installed")
    return path


@asynccontextmanager
async def mosquitto(
    name: str, hub: EmbeddedHub, authority: HubAuthority, *arguments: str, client_id: str = NODE
) -> AsyncIterator[asyncio.subprocess.Process]:
    pem = str(authority.issue(NODE, [NODE]))
    process = await asyncio.create_subprocess_exec(
        *(program(name), "-h", "127.0.0.1", "-p", str(hub.port), "-V", "mqttv311"),
        *("--cafile", str(authority.root_file), "--cert", pem, "--key", pem, "-i", client_id),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.mosquitto
async def test_mosquitto_pub_is_acknowledged(hub: EmbeddedHub, authority: HubAuthority) -> None:
    arguments = ("-t", REPORT, "-q", "1", "-m", '{"kind":"report"}')
    async with mosquitto("mosquitto_pub", hub, authority, *arguments) as process:
        (message,) = await hub.receive(10)
        assert message.payload == b'{"kind":"report"}'
        assert process.returncode is None
        message.ack()
        async with asyncio.timeout(DEADLINE):
            assert await process.wait() == 0
    await until(lambda: not hub.is_connected(NODE))
    assert not hub.counters


@pytest.mark.mosquitto
async def test_mosquitto_sub_gets_what_is_pushed(hub: EmbeddedHub, authority: HubAuthority) -> None:
    arguments = ("-t", DELTA, "-t", topic_for(NODE, Channel.DESIRE_RESPONSE), "-q", "1", "-C", "2")
    async with mosquitto("mosquitto_sub", hub, authority, *arguments) as process:
        await until(lambda: hub.push(NODE, Channel.DESIRE_RESPONSE, b"one"))
        assert hub.push(NODE, Channel.DELTA, b"two")
        async with asyncio.timeout(DEADLINE):
            assert process.stdout is not None
            assert await process.stdout.read() == b"one\ntwo\n"
            assert await process.wait() == 0


@pytest.mark.mosquitto
async def test_mosquitto_sub_receives_the_refusal_of_a_wildcard(
    hub: EmbeddedHub, authority: HubAuthority
) -> None:
    async with mosquitto("mosquitto_sub", hub, authority, "-t", "#", "-E") as process:
        async with asyncio.timeout(DEADLINE):
            await process.wait()
    assert hub.counters == {Refusal.SUBSCRIPTION: 1}


@pytest.mark.mosquitto
async def test_mosquitto_pub_cannot_be_another_node_nor_leave_a_will(
    hub: EmbeddedHub, authority: HubAuthority, connect: Connect
) -> None:
    victim = await connect(hub, OTHER, subscribe=True)
    topic = topic_for(OTHER, Channel.DELTA)
    will = ("--will-topic", topic, "--will-payload", "forged", "--will-retain")
    arguments = ("-t", topic, "-q", "1", "-m", "forged")
    for client_id, reason in ((OTHER, Refusal.IDENTITY), (NODE, Refusal.TOPIC)):
        async with mosquitto(
            "mosquitto_pub", hub, authority, *arguments, *will, client_id=client_id
        ):
            await until(lambda reason=reason: hub.counters[reason] > 0)  # type: ignore[misc]
    assert await victim.is_alive()
    assert hub.queued_count == 0


@asynccontextmanager
async def paho_client(
    hub: EmbeddedHub, authority: HubAuthority, node_id: str = NODE, **settings: Any
) -> AsyncIterator[tuple[paho.Client, list[Any]]]:
    events: list[Any] = []
    client = paho.Client(
        CallbackAPIVersion.VERSION2, node_id, protocol=MQTTProtocolVersion.MQTTv311, **settings
    )
    client.tls_set_context(authority.client_context(NODE))
    client.on_connect = lambda _c, _u, _f, code, _p: events.append(("connected", str(code)))
    client.on_subscribe = lambda _c, _u, _i, codes, _p: events.append(
        ("subscribed", [code.value for code in codes])
    )
    client.on_publish = lambda _c, _u, _i, _code, _p: events.append("acked")
    client.on_message = lambda _c, _u, message: events.append((message.topic, message.payload))
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, client.connect, "127.0.0.1", hub.port)
    client.loop_start()
    try:
        yield client, events
    finally:
        client.disconnect()
        await loop.run_in_executor(None, client.loop_stop)


def has(events: list[Any], event: Any) -> Callable[[], bool]:
    return lambda: event in events


async def test_paho_reports_and_gets_its_delta(hub: EmbeddedHub, authority: HubAuthority) -> None:
    async with paho_client(hub, authority, clean_session=False) as (client, events):
        await until(has(events, ("connected", "Success")))
        client.subscribe([(DELTA, 1), (topic_for(NODE, Channel.DESIRE_RESPONSE), 0)])
        await until(has(events, ("subscribed", [1, 0])))
        for number in range(100):
            client.publish(REPORT, b"%d" % number, qos=1)
        for number in range(100):
            (message,) = await hub.receive(1)
            assert message.payload == b"%d" % number
            assert events.count("acked") <= number
            message.ack()
        await until(lambda: events.count("acked") == 100)
        assert hub.push(NODE, Channel.DELTA, b"{}")
        await until(has(events, (DELTA, b"{}")))
    await until(lambda: not hub.is_connected(NODE))
    assert not hub.counters


async def test_paho_receives_the_reason_of_a_refusal(
    hub: EmbeddedHub, authority: HubAuthority
) -> None:
    async with paho_client(hub, authority, OTHER) as (_, events):
        await until(has(events, ("connected", "Client identifier not valid")))
