"""What the hub counts stays under the ceiling that its limits add up to."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.hub import Inbound
from broker.inbox import Ack, HubInbox
from broker.limits import HubLimits, hub_memory_ceiling
from broker.read_buffers import ReadBuffers
from broker.topics import Channel
from broker.write_buffer import WriteBudget, WriteBuffer

KIB = 1024

LIMITS = st.builds(
    HubLimits,
    max_connections=st.integers(1, 20),
    max_connecting=st.integers(1, 20),
    max_packet_bytes=st.integers(1 * KIB, 64 * KIB),
    max_unacked=st.integers(1, 20),
    max_unacked_bytes=st.integers(1 * KIB, 256 * KIB),
    max_queued=st.integers(1, 50),
    max_queued_bytes=st.integers(1 * KIB, 512 * KIB),
    max_unparsed_bytes=st.integers(64 * KIB, 512 * KIB),
    max_buffered_bytes=st.integers(1 * KIB, 256 * KIB),
    max_buffered_total_bytes=st.integers(256 * KIB, 512 * KIB),
)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "part", "answer", "store", "end"]),
        st.integers(0, 19),
        st.integers(1, 64 * KIB),
    ),
    max_size=80,
)


@dataclass(eq=False)
class FakePeer:
    """A connection as far as its bytes go."""

    buffers: ReadBuffers
    writing: WriteBuffer
    is_gone: bool = False
    acks: list[Ack] = field(default_factory=list)

    def acknowledge(self, packet_id: int) -> None:
        """Send nothing."""

    def evict(self) -> None:
        self.is_gone = True
        self.buffers.set_size(self, 0)


class Unread(asyncio.Transport):
    """Takes nothing: its other side does not read."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Keep none."""

    def write(self, data: object) -> None:
        raise AssertionError("it was paused")


@settings(max_examples=60, deadline=None)
@given(limits=LIMITS, steps=STEPS)
def test_what_nodes_do_stays_under_the_ceiling(
    limits: HubLimits, steps: list[tuple[str, int, int]]
) -> None:
    asyncio.run(press(limits, steps))


async def press(limits: HubLimits, steps: list[tuple[str, int, int]]) -> None:
    inbox, buffers = HubInbox(limits), ReadBuffers(limits.max_unparsed_bytes)
    budget = WriteBudget(limits.max_buffered_total_bytes)
    stored: list[Ack] = []
    peers: dict[int, FakePeer] = {}

    def peer_of(number: int) -> FakePeer:
        peer = peers.get(number)
        if peer is None or peer.is_gone:
            writing = WriteBuffer(limits.max_buffered_bytes, budget, lambda: None)
            writing.open(Unread())
            writing.pause()
            peer = peers[number] = FakePeer(buffers, writing)
        return peer

    for action, number, size in steps:
        peer, node_id = peer_of(number % limits.max_connections), f"default.n{number}"
        size = min(size, limits.max_packet_bytes)
        if action == "publish" and inbox.may_read(node_id):
            ack = Ack(inbox, peer, node_id, 1, size)
            inbox.put(Inbound(node_id, Channel.REPORT, bytes(size), ack))
            stored.append(ack)
        elif action == "part":
            buffers.set_size(peer, size)
        elif action == "answer" and not peer.writing.put(bytes(size)):
            peer.writing.close()
            peer.evict()
        elif action == "store" and stored:
            stored.pop(0)()
        elif action == "end":  # what it sent still counts
            peer.writing.close()
            peer.evict()
        held = inbox.unstored_bytes + buffers.used + budget.used
        assert held <= hub_memory_ceiling(limits, 0)
        assert inbox.unstored_bytes <= limits.max_queued_bytes + limits.max_packet_bytes + KIB
        assert buffers.used <= limits.max_unparsed_bytes
        assert budget.used <= limits.max_buffered_total_bytes
    for ack in stored:
        ack()
    assert inbox.unstored_bytes == 0


@given(limits=LIMITS, connections=st.integers(0, 40))
def test_each_connection_adds_the_same_up_to_the_limit(limits: HubLimits, connections: int) -> None:
    one = hub_memory_ceiling(limits, 1) - hub_memory_ceiling(limits, 0)
    admitted = min(connections, limits.max_connections)
    found = hub_memory_ceiling(limits, connections)
    assert found == hub_memory_ceiling(limits, 0) + admitted * one


def test_the_defaults_fit_a_small_machine() -> None:
    mib = 1024 * KIB
    assert hub_memory_ceiling(HubLimits(), 1_000) < 1_100 * mib
    assert hub_memory_ceiling(HubLimits(), 10_000) < 4_500 * mib
