"""The queue between connections and the inbox: turns of nodes, and bounds of a group."""

from collections.abc import Sequence

from broker.fair_queue import GROUP_BYTES, TURN_BYTES, FairQueue
from broker.hub import Inbound
from broker.topics import Channel


def _inbound(node_id: str, number: int, size: int = 2000) -> Inbound:
    return Inbound(node_id, Channel.REPORT, b"%d" % number + bytes(size), lambda: None)


def _queue(sent: Sequence[tuple[str, int, int]]) -> FairQueue:
    queue = FairQueue()
    for node_id, count, size in sent:
        for number in range(count):
            queue.put(_inbound(node_id, number, size))
    return queue


def _nodes(taken: Sequence[Inbound]) -> str:
    return "".join(message.node_id for message in taken)


def test_a_few_messages_of_one_node_are_taken_in_one_turn() -> None:
    queue = _queue([("a", 4, 2000), ("b", 4, 2000)])
    assert _nodes(queue.take(256)) == "aaaabbbb"


def test_a_node_with_many_messages_waits_for_the_others_after_its_turn() -> None:
    queue = _queue([("a", 64, 2000), ("b", 1, 2000), ("c", 1, 2000)])
    taken = _nodes(queue.take(64))
    before = taken.index("b")
    assert before <= 1 + TURN_BYTES // 2000
    assert taken[before : before + 2] == "bc"
    assert taken[before + 2 :] == "a" * (62 - before)


def test_empty_messages_end_a_turn_too() -> None:
    queue = _queue([("a", 200, 0), ("b", 1, 0)])
    assert _nodes(queue.take(256)).index("b") < 40


def test_a_node_whose_message_does_not_fit_the_group_is_first_in_the_next() -> None:
    queue = _queue([("a", 1, GROUP_BYTES // 2), ("b", 2, GROUP_BYTES // 2), ("c", 1, 10)])
    assert _nodes(queue.take(256)) == "a"
    assert _nodes(queue.take(256)) == "bc"
    assert _nodes(queue.take(256)) == "b"


def test_messages_of_a_node_stay_in_order() -> None:
    queue = _queue([("a", 50, 2000), ("b", 50, 2000)])
    taken: list[Inbound] = []
    while len(queue):
        taken += queue.take(7)
    for node_id in "ab":
        own = [message.payload for message in taken if message.node_id == node_id]
        assert own == [_inbound(node_id, number).payload for number in range(50)]
