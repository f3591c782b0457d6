"""The hub on a cluster of three NATS servers: attacks of nodes, and the loss of one server."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from broker.configuration import MAX_PACKET_BYTES
from broker.errors import HubClosed
from broker.hub import Gate, ShownCertificate
from broker.nats_admission import client_id_for
from broker.nats_hub import NatsHub, open_nats_hub
from broker.topics import TO_NODE, Channel, topic_for
from tests.broker.authority import HubAuthority
from tests.broker.conftest import let_in, now_utc
from tests.broker.nats import NEEDS_NATS, START_SECONDS, Nats, running_nats
from tests.broker.node import DEADLINE, HubNode, until
from tests.deadlines import UNIT

pytestmark = [*NEEDS_NATS, pytest.mark.anyio]

NODE = "default.gate-7"
OTHER = "default.gate-8"
REPORT = topic_for(NODE, Channel.REPORT)


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    """On the loop that serves; what differs between loops the contract shows."""
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="module")
async def nats(
    authority: HubAuthority, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Nats]:
    async with running_nats(tmp_path_factory.mktemp("nats"), authority, count=3) as nats:
        await wait_for_leader(nats)
        yield nats


async def wait_for_leader(nats: Nats) -> None:
    """Wait until the cluster has elected who keeps the sessions of nodes."""
    async with hub_of(nats), asyncio.timeout(START_SECONDS):
        while await refused(nats, nats.authority.client_context(NODE), client_id_for(NODE)):  # noqa: ASYNC110  # NATS has no event for it
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def hub_of(
    nats: Nats, server_id: str = "server-1", *, first: int = 1, gate: Gate = let_in
) -> AsyncIterator[NatsHub]:
    async with open_nats_hub(nats.address(server_id, first), gate, now_utc) as hub:
        await until(lambda: hub.is_attached)
        yield hub


@contextlib.asynccontextmanager
async def knocking(nats: Nats, context: ssl.SSLContext, number: int = 1) -> AsyncIterator[HubNode]:
    node = await HubNode.open(nats.cluster.nodes[number - 1].node_port, context)
    try:
        yield node
    finally:
        await node.close()


@contextlib.asynccontextmanager
async def connected(
    nats: Nats, node_id: str, number: int = 1, **settings: object
) -> AsyncIterator[HubNode]:
    async with knocking(nats, nats.authority.client_context(node_id), number) as node:
        node.connect(client_id_for(node_id), **settings)
        assert await node.connack() == 0
        yield node


async def refused(nats: Nats, context: ssl.SSLContext, client_id: str, **settings: object) -> bool:
    async with knocking(nats, context) as node:
        node.connect(client_id, **settings)
        try:
            return await node.connack() != 0
        except (OSError, asyncio.IncompleteReadError):
            return True


async def arrives(hub: NatsHub, node: HubNode, topic: str) -> list[tuple[str, bytes]]:
    """What the hub received by the time that a report of *node* came after it."""
    node.publish(topic, b"forged", packet_id=5)
    node.publish(REPORT, b"after", packet_id=6)
    received: list[tuple[str, bytes]] = []
    async with asyncio.timeout(DEADLINE):
        while not received or received[-1] != (NODE, b"after"):
            for message in await hub.receive(100):
                message.ack()
                received.append((message.node_id, message.payload))
    return received[:-1]


async def test_a_certificate_is_good_for_its_own_client_id_only(nats: Nats) -> None:
    own = nats.authority.client_context(NODE)
    async with hub_of(nats), connected(nats, OTHER) as other:
        assert await refused(nats, own, client_id_for(OTHER))
        assert await refused(nats, own, client_id_for(OTHER), login=(OTHER, "x"))
        assert await refused(nats, own, "edgesync")
        assert await refused(nats, own, "")
        assert await other.is_alive()


async def test_a_client_without_a_certificate_does_not_come_in(nats: Nats) -> None:
    async with hub_of(nats):
        with contextlib.suppress(OSError):  # which of both depends on the time of the TLS alert
            context = nats.authority.client_context(None)
            assert await refused(nats, context, client_id_for(NODE))


async def test_the_password_of_servers_is_no_way_in_for_nodes(nats: Nats) -> None:
    login = ("edgesync", "guessed")
    own = nats.authority.client_context(NODE)
    async with hub_of(nats):
        assert await refused(nats, own, client_id_for(OTHER), login=login)


async def test_what_the_gate_refuses_does_not_come_in(nats: Nats) -> None:
    asked: list[tuple[str, int]] = []

    async def gate(node_id: str, shown: ShownCertificate) -> bool:
        asked.append((node_id, shown.certificate.serial_number))
        return False

    async with hub_of(nats, gate=gate):
        assert await refused(nats, nats.authority.client_context(NODE), client_id_for(NODE))
    assert asked == [(NODE, nats.authority.serials[NODE])]


async def test_without_a_server_nothing_comes_in(nats: Nats) -> None:
    assert await refused(nats, nats.authority.client_context(NODE), client_id_for(NODE))


FORBIDDEN = [
    *(topic_for(OTHER, channel) for channel in Channel),
    *(topic_for(NODE, channel) for channel in sorted(TO_NODE)),
    "edge/v1/elsewhere",
]


async def test_a_node_publishes_on_its_own_topics_only(nats: Nats) -> None:
    async with hub_of(nats) as hub, connected(nats, OTHER) as other, connected(nats, NODE) as node:
        await other.subscribe_all(OTHER)
        for topic in FORBIDDEN:
            assert await arrives(hub, node, topic) == [], topic
        assert await other.is_alive()  # it has received nothing


async def test_a_will_is_held_to_the_same_topics(nats: Nats) -> None:
    async with hub_of(nats) as hub, connected(nats, OTHER) as other:
        await other.subscribe_all(OTHER)
        for topic in (topic_for(OTHER, Channel.REPORT), topic_for(OTHER, Channel.COMMAND), REPORT):
            async with connected(nats, NODE, will=(topic, b"will")) as dying:
                dying.reset()
        async with asyncio.timeout(DEADLINE):
            (message,) = await hub.receive(10)
        assert (message.node_id, message.payload) == (NODE, b"will")
        assert await other.is_alive()


@pytest.mark.parametrize(
    "topic",
    [
        *(topic_for(OTHER, channel) for channel in sorted(TO_NODE)),
        topic_for(NODE, Channel.REPORT),
        "edge/v1/+/delta",
        "edge/v1/#",
        "#",
        "$share/edgesync/edge/v1/+/report",
        "$MQTT/sub/#",
        "$SYS/#",
    ],
)
async def test_a_node_subscribes_to_its_own_topics_only(nats: Nats, topic: str) -> None:
    async with hub_of(nats) as hub, connected(nats, NODE) as node, connected(nats, OTHER) as other:
        await other.subscribe_all(OTHER)
        node.subscribe(topic)
        with contextlib.suppress(asyncio.IncompleteReadError):  # it may be closed for that
            first, body = await node.read()
            assert (first, body[2:]) == (0x90, b"\x80")
        for channel in sorted(TO_NODE):
            assert await hub.send(OTHER, channel, b"secret", timedelta(seconds=30))
        received = await node.rest() if node.reader.at_eof() else b""
        assert b"secret" not in received


async def test_a_big_packet_ends_the_connection_and_no_other(nats: Nats) -> None:
    async with hub_of(nats) as hub, connected(nats, NODE) as node, connected(nats, OTHER) as other:
        node.publish(REPORT, b"x" * (MAX_PACKET_BYTES + 1), packet_id=1)
        await node.rest()
        assert await other.is_alive()
        other.publish(topic_for(OTHER, Channel.REPORT), b"y" * 1_000_000, packet_id=1)
        async with asyncio.timeout(DEADLINE):
            (message,) = await hub.receive(10)
        assert len(message.payload) == 1_000_000


async def test_a_push_at_one_server_reaches_a_node_at_another(nats: Nats) -> None:
    async with hub_of(nats, first=1) as hub, connected(nats, NODE, 3) as node:
        await node.subscribe_all(NODE)
        assert hub.push(NODE, Channel.DELTA, b"new")
        assert (await node.read())[1].endswith(b"new")
        hub.disconnect(NODE)
        assert await node.rest() == b""


async def test_servers_share_the_messages_of_nodes(nats: Nats) -> None:
    async with (
        hub_of(nats, "one") as one,
        hub_of(nats, "two", first=2) as two,
        connected(nats, NODE, 3) as node,
    ):
        for number in range(200):
            node.publish(REPORT, b"%d" % number, packet_id=number + 1)
        await node.acked(200)
        taken = [await _drained(hub, 200) for hub in (one, two)]
    assert sorted(taken[0] + taken[1], key=int) == [b"%d" % number for number in range(200)]
    assert all(taken)


async def _drained(hub: NatsHub, most: int) -> list[bytes]:
    """What the hub has, and what comes to it within a unit."""
    payloads: list[bytes] = []
    with contextlib.suppress(TimeoutError, HubClosed):
        while len(payloads) < most:
            async with asyncio.timeout(UNIT):
                for message in await hub.receive(100):
                    message.ack()
                    payloads.append(message.payload)
    return payloads


class NatsFleet:
    """Servers that store and answer reports, and nodes that repeat what was not answered."""

    def __init__(self, nats: Nats) -> None:
        self.nats = nats
        self.stored: dict[str, int] = {}
        self.answered: dict[str, int] = {}

    async def serve(self, hub: NatsHub) -> None:
        while True:
            for message in await hub.receive(100):
                number = int(message.payload)
                self.stored[message.node_id] = max(number, self.stored.get(message.node_id, 0))
                message.ack()
                hub.push(message.node_id, Channel.DELTA, message.payload)

    async def report(self, node_id: str, number: int, attempt: int) -> None:
        """Report once, at a server of the cluster that depends on the *attempt*."""
        async with connected(self.nats, node_id, attempt % 3 + 1) as node:
            node.subscribe(topic_for(node_id, Channel.DELTA), qos=0)
            assert await node.read() == (0x90, b"\x00\x01\x00")
            node.publish(topic_for(node_id, Channel.REPORT), b"%d" % number, packet_id=1)
            async with asyncio.timeout(5 * UNIT):
                while not (await node.read())[1].endswith(b"/delta%d" % number):
                    pass
        self.answered[node_id] = number

    async def run_node(self, index: int, rounds: int, half_time: asyncio.Event) -> None:
        node_id, attempt = f"default.n{index}", index
        for number in range(1, rounds + 1):
            if number == rounds // 2:
                await half_time.wait()
            while self.answered.get(node_id) != number:
                attempt += 1
                with contextlib.suppress(*LOST):
                    await self.report(node_id, number, attempt)
            assert self.stored[node_id] >= number  # what was answered is stored


LOST = (OSError, TimeoutError, AssertionError, asyncio.IncompleteReadError)
"""What a connection to a server of the cluster may end with while one is lost."""


async def test_a_cluster_that_loses_a_server_under_load_serves_on(nats: Nats) -> None:
    """The last test of this module: the cluster is not whole afterwards."""
    count, rounds = 24, 6
    fleet, half_time = NatsFleet(nats), asyncio.Event()
    async with (
        hub_of(nats, "one") as one,
        hub_of(nats, "two", first=2) as two,
        asyncio.timeout(120 * UNIT),
        asyncio.TaskGroup() as group,
    ):
        serving = [group.create_task(fleet.serve(hub)) for hub in (one, two)]
        nodes = [
            group.create_task(fleet.run_node(index, rounds, half_time)) for index in range(count)
        ]
        await until(lambda: len(fleet.answered) == count)
        half_time.set()
        await nats.stop(1, kill=True)
        await asyncio.wait(nodes)
        await until(lambda: one.is_attached)  # at another server of the cluster
        for task in serving:
            task.cancel()
    assert fleet.answered == {f"default.n{index}": rounds for index in range(count)}
