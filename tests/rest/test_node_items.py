"""Items of lists of nodes are the same whether they were encoded before or not."""

from dataclasses import replace
from datetime import timedelta

import msgspec

from cloud.answers.nodes import NodeItem
from cloud.core.encryption_key import SEALED_IF_POSSIBLE
from cloud.core.node import Node, NodeSpec, SeenNode
from cloud.core.readiness import Heard, NodeState, ReportCadence
from cloud.rest.node_items import NodeItems
from cloud.rest.node_state import node_answer
from tests.core.strategies import START

SECOND = timedelta(seconds=1)
NODE = Node("default", "n", NodeSpec({"site": "s"}), START, START)
SEEN = SeenNode(NODE, Heard(START, None, ReportCadence(20 * SECOND)), is_revoked=False)


def test_an_item_is_encoded_again_once_it_is_another_one() -> None:
    items, states = NodeItems(SEALED_IF_POSSIBLE), []
    heard_again = replace(SEEN, heard=Heard(START + 100 * SECOND))
    relabelled = replace(SEEN, node=replace(NODE, spec=NodeSpec({"site": "t"})))
    for seen, seconds, connected in (
        (SEEN, 0, True),
        (SEEN, 59, True),
        (SEEN, 59, None),
        (SEEN, 60, None),
        (SEEN, 119, None),
        (SEEN, 120, None),
        (SEEN, 10_000, False),
        (SEEN, 1, False),
        (heard_again, 101, False),
        (relabelled, 101, False),
        (replace(SEEN, is_revoked=True), 101, False),
    ):
        now = START + seconds * SECOND
        answer = node_answer(seen, now, SEALED_IF_POSSIBLE, connected=connected)
        for _ in range(2):
            text = bytes(items.item(seen, now, connected=connected))
            assert text == msgspec.json.encode(NodeItem(**msgspec.structs.asdict(answer)))
        states.append(answer.state.name)
    assert set(states) == {NodeState.ONLINE, NodeState.STALE, NodeState.OFFLINE}


def test_an_item_that_stays_the_same_is_encoded_once() -> None:
    items = NodeItems(SEALED_IF_POSSIBLE)
    first = items.item(SEEN, START, connected=True)
    assert items.item(SEEN, START + 59 * SECOND, connected=True) is first
    assert items.item(SEEN, START + 60 * SECOND, connected=True) is not first
