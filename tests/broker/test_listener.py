"""Which clients are admitted, which are refused, and what they receive."""

import asyncio
import ssl
from datetime import timedelta

import pytest

from broker.embedded import EmbeddedHub, HubLimits, Refusal, open_embedded_hub
from broker.hub import ShownCertificate
from broker.topics import Channel, topic_for
from tests.broker.authority import HubAuthority
from tests.broker.conftest import Connect, OpenHub, let_in, now_utc
from tests.broker.node import (
    DEADLINE,
    HubNode,
    connect_packet,
    receive_all,
    until,
)

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)
DELTA = topic_for(NODE, Channel.DELTA)
SOON = timedelta(milliseconds=200)


@pytest.mark.parametrize("client_id", ["", OTHER, NODE + "x", NODE.upper(), b"\xff", "#"])
async def test_a_client_id_other_than_the_common_name_is_refused(
    hub: EmbeddedHub, authority: HubAuthority, client_id: str | bytes
) -> None:
    node = await HubNode.open(hub.port, authority.client_context(NODE))
    node.connect(client_id)
    assert await node.connack() == 2
    assert await node.rest() == b""
    await node.close()


@pytest.mark.parametrize("names", [[], [NODE, OTHER], ["a/b"], ["#"]], ids=repr)
async def test_a_certificate_has_to_have_one_name_fit_for_a_topic(
    hub: EmbeddedHub, authority: HubAuthority, names: list[str]
) -> None:
    context = authority.client_context(None)
    context.load_cert_chain(authority.issue(f"odd {len(names)} {hash(str(names))}", names))
    for client_id in ["", *names]:
        node = await HubNode.open(hub.port, context)
        node.connect(client_id)
        assert await node.connack() == 2
        await node.close()
    assert hub.connection_count == 0


async def test_the_gate_is_asked_with_name_and_serial_number(
    open_hub: OpenHub, authority: HubAuthority, connect: Connect
) -> None:
    asked: list[tuple[str, int]] = []

    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        asked.append((node_id, shown.certificate.serial_number))
        return True

    async with open_hub(gate=gate) as hub:
        await connect(hub, NODE)
    assert asked == [(NODE, authority.serials[NODE])]


async def test_a_gate_that_raises_admits_no_client(
    open_hub: OpenHub, authority: HubAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        raise LookupError

    async with open_hub(gate=gate) as hub:
        node = await HubNode.open(hub.port, authority.client_context(NODE))
        node.connect(NODE)
        assert await node.connack() == 5
        assert hub.counters[Refusal.GATE_FAILED] == 1
        assert "gate failed" in caplog.text
        await node.close()


async def test_a_gate_that_does_not_answer_is_not_waited_for(
    open_hub: OpenHub, authority: HubAuthority
) -> None:
    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        await asyncio.Event().wait()
        return True

    async with open_hub(gate=gate, limits=HubLimits(gate_timeout=SOON)) as hub:
        node = await HubNode.open(hub.port, authority.client_context(NODE))
        node.connect(NODE)
        assert await node.connack() == 3
        await node.close()


async def test_disconnect_while_the_gate_is_asked_is_not_missed(
    open_hub: OpenHub, authority: HubAuthority
) -> None:
    read, go_on = asyncio.Event(), asyncio.Event()

    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        read.set()  # what it read was the CONNACK
        await go_on.wait()
        return True

    async with open_hub(gate=gate) as hub:
        node = await HubNode.open(hub.port, authority.client_context(NODE))
        node.connect(NODE)
        async with asyncio.timeout(DEADLINE):
            await read.wait()
        hub.disconnect(NODE)  # revoked after that
        go_on.set()
        assert await node.rest() == b""
        assert not hub.is_connected(NODE)
        await node.close()


async def test_of_two_connections_the_newer_one_stays_in_either_order_of_the_gates_answers(
    open_hub: OpenHub, authority: HubAuthority
) -> None:
    gates: list[asyncio.Future[bool]] = []

    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        gates.append(asyncio.get_running_loop().create_future())
        return await gates[-1]

    async with open_hub(gate=gate) as hub:
        nodes = []
        for count in (1, 2):
            nodes.append(await HubNode.open(hub.port, authority.client_context(NODE)))
            nodes[-1].connect(NODE)
            await until(lambda count=count: len(gates) == count)  # type: ignore[misc]
        gates[1].set_result(True)
        assert await nodes[1].connack() == 0
        gates[0].set_result(True)
        assert await nodes[0].rest() == b""
        assert await nodes[1].is_alive()
        for node in nodes:
            await node.close()


async def refused_by_tls(hub: EmbeddedHub, context: ssl.SSLContext) -> None:
    # With TLS 1.3 the client learns of it with its first read.
    try:
        node = await HubNode.open(hub.port, context)
    except (ssl.SSLError, OSError):
        pass
    else:
        node.connect(NODE)
        assert await node.rest() == b""
        await node.close()
    await until(lambda: hub.counters[Refusal.TLS_FAILED] == 1)
    assert hub.connection_count == 0


async def test_a_certificate_of_a_foreign_authority_is_refused(
    hub: EmbeddedHub, authority: HubAuthority, foreign_authority: HubAuthority
) -> None:
    context = foreign_authority.client_context(NODE)
    context.load_verify_locations(authority.root_file)
    await refused_by_tls(hub, context)


async def test_an_expired_certificate_is_refused(hub: EmbeddedHub, authority: HubAuthority) -> None:
    await refused_by_tls(hub, authority.expired_context())


async def test_no_certificate_is_refused(hub: EmbeddedHub, authority: HubAuthority) -> None:
    await refused_by_tls(hub, authority.client_context(None))


async def test_a_certificate_of_a_server_is_refused(
    hub: EmbeddedHub, authority: HubAuthority
) -> None:
    context = authority.client_context(None)
    context.load_cert_chain(authority.issue("server", ["localhost"], is_server=True))
    await refused_by_tls(hub, context)


async def test_bytes_that_are_not_tls_are_refused(hub: EmbeddedHub) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(connect_packet(NODE))
    async with asyncio.timeout(DEADLINE):
        assert b"\x20\x02" not in await reader.read()
    writer.close()
    await until(lambda: hub.counters[Refusal.TLS_FAILED] == 1)


async def test_a_context_that_asks_for_no_certificate_is_not_accepted(
    server_tls: ssl.SSLContext,
) -> None:
    server_tls.verify_mode = ssl.CERT_OPTIONAL
    with pytest.raises(ValueError, match="certificate"):
        async with open_embedded_hub(
            host="127.0.0.1", port=0, tls=server_tls, gate=let_in, clock=now_utc
        ):
            pass


async def test_a_connection_that_never_begins_tls_is_closed(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=HubLimits(handshake_timeout=SOON, max_connecting=3)) as hub:
        silent = [await asyncio.open_connection("127.0.0.1", hub.port) for _ in range(3)]
        for reader, _ in silent:
            async with asyncio.timeout(DEADLINE):
                assert await reader.read() == b""
        await connect(hub, NODE)
        for _, writer in silent:
            writer.close()


async def test_a_connection_without_connect_is_closed(
    open_hub: OpenHub, authority: HubAuthority
) -> None:
    async with open_hub(limits=HubLimits(connect_timeout=SOON)) as hub:
        for beginning in (b"", connect_packet(NODE)[:-1]):
            node = await HubNode.open(hub.port, authority.client_context(NODE))
            node.send(beginning)
            assert await node.rest() == b""
            await node.close()
        assert hub.counters[Refusal.CONNECT_TIMEOUT] == 2


async def test_a_silent_node_without_keep_alive_is_closed(
    open_hub: OpenHub, connect: Connect
) -> None:
    async with open_hub(limits=HubLimits(max_silence=SOON)) as hub:
        for keep_alive in (0, 65_535):
            node = await connect(hub, NODE, keep_alive=keep_alive)
            assert await node.rest() == b""
        assert hub.counters[Refusal.SILENT] == 2


async def test_a_connection_too_many_is_closed_at_once(open_hub: OpenHub, connect: Connect) -> None:
    async with open_hub(limits=HubLimits(max_connections=1)) as hub:
        node = await connect(hub, NODE)
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        async with asyncio.timeout(DEADLINE):
            assert await reader.read() == b""
        writer.close()
        assert hub.counters[Refusal.TOO_MANY_CONNECTIONS] == 1
        assert await node.is_alive()
        await node.close()
        await until(lambda: not hub.is_connected(NODE))
        await connect(hub, OTHER)


async def test_the_log_names_the_client_id_a_refused_node_needs(
    hub: EmbeddedHub, authority: HubAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    node = await HubNode.open(hub.port, authority.client_context(NODE))
    node.connect("my-edge" * 100)
    assert await node.connack() == 2
    await node.close()
    [record] = caplog.records
    assert NODE in record.getMessage()
    assert "my-edge" in record.getMessage()
    assert len(record.getMessage()) < 300


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_client_that_waits_for_no_answer_is_served_in_order(
    hub: EmbeddedHub, authority: HubAuthority, qos: int
) -> None:
    """As stock agents begin: CONNECT and SUBSCRIBE at once, perhaps without keep alive."""
    node = await HubNode.open(hub.port, authority.client_context(NODE))
    node.send(connect_packet(NODE, keep_alive=0, clean=False))
    node.subscribe(DELTA, topic_for(NODE, Channel.DESIRE_RESPONSE), qos=qos)
    node.publish(REPORT, b"{}", qos=qos, packet_id=7)
    assert await node.connack() == 0
    assert await node.read() == (0x90, bytes((0, 1, qos, qos)))
    [report] = await receive_all(hub, 1)
    assert (report.node_id, report.channel, report.payload) == (NODE, Channel.REPORT, b"{}")
    assert await node.acked(qos) == [7] * qos
    assert hub.push(NODE, Channel.DELTA, b"{}")
    assert (await node.read())[0] == 0x30
    await node.close()
