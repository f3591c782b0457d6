"""One node, and messages that are late, odd or wrong."""

from dataclasses import replace
from typing import Any

import pytest

from agent_sim.device import DeviceState
from agent_sim.events import (
    Apply,
    ApplyDone,
    Connected,
    LogLine,
    MessageReceived,
    Started,
    StartResult,
    Timer,
    TimerDue,
)
from agent_sim.model import HeldApp, Status
from agent_sim.wire import REQUEST_ID, NodeMessage
from broker.topics import Channel
from tests.agent_sim.node import SimulatedNode, error, published, wanting
from tests.agent_sim.server_model import ServerModel


def test_an_answer_to_an_older_report_than_the_last_answered_is_ignored(
    node: SimulatedNode,
) -> None:
    node.happen(TimerDue(Timer.REPORT))
    node.hear(Channel.DELTA, {}, seq=2, run="r1")
    assert node.hear(Channel.DELTA, wanting(("old", "1")), seq=1, run="r1") == []


def test_an_answer_to_an_earlier_run_is_ignored(node: SimulatedNode) -> None:
    assert node.hear(Channel.DELTA, wanting(("old", "1")), seq=1, run="r0") == []


def test_a_sequence_may_come_back_as_text(node: SimulatedNode) -> None:
    node.hear(Channel.DELTA, {}, seq="1", run="r1")
    assert node.state.is_converged


@pytest.mark.parametrize(
    "content",
    [None, [], "x", {"apps": None}, {"apps": [1]}, {"apps": [{"name": "a"}]}],
)
def test_a_delta_that_cannot_be_read_changes_nothing(node: SimulatedNode, content: Any) -> None:
    before = node.state
    actions = node.hear(Channel.DELTA, content)
    assert node.state == replace(before, errors=1, asked=node.state.asked)
    assert [type(action) for action in actions] == [LogLine]


def test_errors_are_counted_and_the_node_goes_on(node: SimulatedNode, server: ServerModel) -> None:
    node.happen(MessageReceived(Channel.DELTA, error("RequestParamInvalid", seq=1)))
    node.happen(MessageReceived(Channel.DESIRE_RESPONSE, error("ResourceNotFound")))
    node.happen(MessageReceived(Channel.DELTA, NodeMessage("mystery")))
    assert node.state.errors == 3
    node.obey(server)
    assert node.state.is_converged


def test_values_that_do_not_match_the_request_are_not_taken(
    node: SimulatedNode, server: ServerModel
) -> None:
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    request = node.state.request
    assert request is not None
    meta = {REQUEST_ID: request.id}
    odd: tuple[Any, ...] = (None, {"values": []}, {"values": "x"})
    for content in odd:
        node.hear(Channel.DESIRE_RESPONSE, content, **meta)
    assert (node.state.errors, node.state.request) == (3, request)
    node.hear(Channel.DESIRE_RESPONSE, {"values": [None]}, **meta)
    assert (node.state.fetches, node.state.held) == ((), {})


def test_an_outcome_of_what_has_been_replaced_is_ignored(node: SimulatedNode) -> None:
    assert node.happen(ApplyDone((StartResult("web", "0"),))) == []


def test_an_outcome_of_an_older_version_does_not_count_for_the_new_one(node: SimulatedNode) -> None:
    app = HeldApp("web", "2", {})
    node.state = replace(node.state, held={"web": app})
    assert node.happen(ApplyDone((StartResult("web", "1"),))) == []
    assert node.state.held["web"].status is Status.PENDING


def test_node_and_server_agree_only_about_the_last_report(
    node: SimulatedNode, server: ServerModel
) -> None:
    node.hear(Channel.DELTA, {}, seq=1, run="r1")
    assert node.state.is_converged
    node.happen(TimerDue(Timer.REPORT), TimerDue(Timer.REPORT))
    node.hear(Channel.DELTA, {}, seq=2, run="r1")
    assert not node.state.is_converged
    node.hear(Channel.DELTA, {}, seq=3, run="r1")
    assert node.state.is_converged
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    assert not node.state.is_converged


def test_what_was_pending_is_applied_after_a_restart() -> None:
    apps = (HeldApp("a", "1", {}), HeldApp("b", "1", {}, status=Status.RUNNING))
    node = SimulatedNode(DeviceState(run="r2", held={app.name: app for app in apps}))
    assert node.happen(Started()) == [Apply(apps[:1])]
    actions = node.happen(Connected())
    assert len(published(actions, Channel.REPORT)[0].content["apps"]) == 2
