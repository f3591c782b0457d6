"""One connection to a real broker, on both event loops."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent_sim.errors import LinkLost
from agent_sim.link import Address, HubLink, open_link
from broker.topics import Channel
from tests.agent_sim.authority import SimulatorAuthority
from tests.agent_sim.conftest import DEADLINE_SECONDS, Eventually, Responder, SimulatorBroker
from tests.broker.authority import HubAuthority
from tests.broker.dotless import running_dotless_hub
from tests.deadlines import UNIT

NODE = "default.n1"
DELTA = f"edge/v1/{NODE}/delta"
REPORT = f"edge/v1/{NODE}/report"


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def tls(authority: SimulatorAuthority) -> ssl.SSLContext:
    return authority.client_context(NODE)


def ignore(_: str, __: bytes) -> None: ...


@pytest.mark.mosquitto
async def test_messages_go_both_ways_large_ones_too(
    mosquitto: SimulatorBroker,
    responder: Responder,
    tls: ssl.SSLContext,
    executor: Executor,
    eventually: Eventually,
) -> None:
    received: list[tuple[str, bytes]] = []
    address = Address("127.0.0.1", mosquitto.port)
    large = b'{"kind":"mystery","content":"' + b"x" * 900_000 + b'"}'
    async with open_link(
        NODE,
        address,
        tls,
        executor,
        subscribe=[DELTA],
        on_message=lambda topic, payload: received.append((topic, payload)),
    ) as link:
        for _ in range(5):
            responder.send(DELTA, b"small")
        responder.send(DELTA, large)
        await eventually(lambda: len(received) == 6)
        assert received == [(DELTA, b"small")] * 5 + [(DELTA, large)]
        assert link.publish(REPORT.replace("report", "stats"), large, qos=1)
        await eventually(lambda: responder.received(NODE, Channel.STATS))
        assert len(responder.received(NODE, Channel.STATS)[0].content) == 900_000


@pytest.mark.mosquitto
async def test_many_publishes_arrive_in_order(
    mosquitto: SimulatorBroker,
    responder: Responder,
    tls: ssl.SSLContext,
    executor: Executor,
    eventually: Eventually,
) -> None:
    address = Address("127.0.0.1", mosquitto.port)
    async with open_link(
        NODE, address, tls, executor, subscribe=[DELTA], on_message=ignore
    ) as link:
        for number in range(50):
            payload = f'{{"kind":"stats","content":{number}}}'.encode()
            assert link.publish(f"edge/v1/{NODE}/stats", payload, qos=1)
        await eventually(lambda: len(responder.received(NODE, Channel.STATS)) == 50)
    assert [m.content for m in responder.received(NODE, Channel.STATS)] == list(range(50))


@pytest.mark.mosquitto
async def test_the_end_of_the_broker_is_noticed(
    mosquitto: SimulatorBroker, tls: ssl.SSLContext, executor: Executor
) -> None:
    address = Address("127.0.0.1", mosquitto.port)
    async with open_link(
        NODE, address, tls, executor, subscribe=[DELTA], on_message=ignore
    ) as link:
        mosquitto.stop()
        assert "lost" in await link.wait_lost()
        assert not link.publish(REPORT, b"{}", qos=0)


@pytest.mark.mosquitto
async def test_a_second_connection_of_the_same_node_ends_the_first(
    mosquitto: SimulatorBroker, tls: ssl.SSLContext, executor: Executor
) -> None:
    async def lost(link: HubLink) -> str:
        async with asyncio.timeout(20 * UNIT):
            return await link.wait_lost()

    address = Address("127.0.0.1", mosquitto.port)
    async with (
        open_link(NODE, address, tls, executor, subscribe=[DELTA], on_message=ignore) as first,
        open_link(NODE, address, tls, executor, subscribe=[DELTA], on_message=ignore),
    ):
        assert await lost(first)


@pytest.mark.mosquitto
async def test_a_certificate_of_an_unknown_node_is_refused(
    mosquitto: SimulatorBroker,
    foreign_authority: SimulatorAuthority,
    authority: SimulatorAuthority,
    executor: Executor,
) -> None:
    tls = ssl.create_default_context(cafile=str(authority.root_file))
    tls.load_cert_chain(*foreign_authority.issue(NODE))
    address = Address("127.0.0.1", mosquitto.port)
    with pytest.raises(LinkLost):
        async with open_link(NODE, address, tls, executor, subscribe=[DELTA], on_message=ignore):
            pass


@dataclass
class ScriptedBroker:
    """What a scripted broker heard after its last answer."""

    address: Address
    heard: bytearray = field(default_factory=bytearray)


Scripted = Callable[[bytes, bytes], AbstractAsyncContextManager[ScriptedBroker]]


@pytest.fixture
def scripted(authority: SimulatorAuthority) -> Scripted:
    """A broker that answers *connack* to the first packet and *suback* to the second."""

    @asynccontextmanager
    async def serving(connack: bytes, suback: bytes) -> AsyncIterator[ScriptedBroker]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                for answer in (connack, suback):
                    await reader.read(1000)
                    writer.write(answer)
                while heard := await reader.read(100_000):
                    broker.heard.extend(heard)
            writer.close()
            done.set()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("scripted", is_server=True))
        server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
        broker = ScriptedBroker(Address("127.0.0.1", server.sockets[0].getsockname()[1]))
        done = asyncio.Event()
        async with server, asyncio.timeout(DEADLINE_SECONDS):
            yield broker
            await done.wait()

    return serving


ACCEPTED, GRANTED = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x00"


@pytest.mark.parametrize(
    ("connack", "suback", "reason"),
    [
        (b"\x20\x02\x00\x05", b"", "refused: Not authorized"),
        (b"\x20\x02\x00\x02", b"", "refused: Client identifier not valid"),
        (b"\x20\x02\x00\x01", b"", "connection lost: Protocol error"),
        (ACCEPTED, b"\x90\x03\x00\x01\x80", "refused a subscription"),
        (ACCEPTED, b"", "no answer in time"),
        (b"", b"", "no answer in time"),
    ],
)
async def test_a_refusal_names_what_was_refused(
    scripted: Scripted,
    tls: ssl.SSLContext,
    executor: Executor,
    connack: bytes,
    suback: bytes,
    reason: str,
) -> None:
    async with scripted(connack, suback) as broker:
        with pytest.raises(LinkLost) as caught:
            async with open_link(
                NODE,
                broker.address,
                tls,
                executor,
                subscribe=[DELTA],
                on_message=ignore,
                patience=1.0,
            ):
                pass
    assert caught.value.reason == reason


async def test_several_packets_in_one_record_of_tls_are_all_read(
    scripted: Scripted, tls: ssl.SSLContext, executor: Executor, eventually: Eventually
) -> None:
    publish = b"\x30" + bytes([len(DELTA) + 3]) + b"\x00" + bytes([len(DELTA)]) + DELTA.encode()
    packets = b"".join(publish + bytes([number]) for number in range(5))
    received: list[bytes] = []
    async with (
        scripted(ACCEPTED, GRANTED + packets) as broker,
        open_link(
            NODE,
            broker.address,
            tls,
            executor,
            subscribe=[DELTA],
            on_message=lambda _, payload: received.append(payload),
        ),
    ):
        await eventually(lambda: len(received) == 5)
    assert received == [bytes([number]) for number in range(5)]


async def test_what_a_full_socket_does_not_take_is_written_later(
    scripted: Scripted, tls: ssl.SSLContext, executor: Executor, eventually: Eventually
) -> None:
    size = 8_000_000  # more than the buffers of both ends
    async with (
        scripted(ACCEPTED, GRANTED) as broker,
        open_link(
            NODE, broker.address, tls, executor, subscribe=[DELTA], on_message=ignore
        ) as link,
    ):
        assert link.publish(REPORT, b"x" * size, qos=0)
        await eventually(lambda: broker.heard.count(b"x") == size)
        assert link.publish(REPORT, b"y", qos=0)
        await eventually(lambda: broker.heard.endswith(b"y"))


async def test_closing_does_not_wait_for_a_full_socket(
    scripted: Scripted, tls: ssl.SSLContext, executor: Executor
) -> None:
    async with scripted(ACCEPTED, GRANTED) as broker:
        async with open_link(
            NODE, broker.address, tls, executor, subscribe=[DELTA], on_message=ignore
        ) as link:
            assert link.publish(REPORT, b"x" * 8_000_000, qos=0)
        assert not link.publish(REPORT, b"x", qos=0)


@pytest.mark.mosquitto
async def test_a_broker_of_another_authority_or_name_is_not_spoken_to(
    mosquitto: SimulatorBroker,
    foreign_authority: SimulatorAuthority,
    tls: ssl.SSLContext,
    executor: Executor,
) -> None:
    foreign = foreign_authority.client_context(NODE)
    for host, context in (("127.0.0.1", foreign), ("localhost", tls)):
        address = Address(host, mosquitto.port)
        with pytest.raises(LinkLost) as caught:
            async with open_link(
                NODE, address, context, executor, subscribe=[DELTA], on_message=ignore
            ):
                pass
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_a_refused_connection_is_an_error_soon(
    tls: ssl.SSLContext, executor: Executor, silent_port: int
) -> None:
    address = Address("127.0.0.1", silent_port)
    with pytest.raises(LinkLost):
        async with open_link(
            NODE, address, tls, executor, subscribe=[DELTA], on_message=ignore, patience=0.2
        ):
            pass


async def test_giving_up_while_connecting_leaves_nothing_open(
    tls: ssl.SSLContext, executor: Executor, silent_port: int
) -> None:
    address = Address("127.0.0.1", silent_port)
    with pytest.raises(TimeoutError):
        async with (
            asyncio.timeout(0.05),
            open_link(
                NODE, address, tls, executor, subscribe=[DELTA], on_message=ignore, patience=0.5
            ),
        ):
            pass


async def test_a_hub_without_dots_in_client_ids_gets_slashes(
    executor: Executor, tmp_path: Path
) -> None:
    authority = HubAuthority(tmp_path)
    tls = authority.client_context(NODE)
    with running_dotless_hub(authority.server_context()) as hub:
        address = Address("127.0.0.1", hub.port)
        async with open_link(NODE, address, tls, executor, subscribe=[DELTA], on_message=ignore):
            pass
    assert hub.client_ids == [NODE, "default/n1"]
    assert hub.granted == [b"\x00"]
