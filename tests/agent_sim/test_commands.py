"""A simulated node that is asked for something at once."""

from datetime import timedelta
from typing import Any

import pytest

from agent_sim.commands import IDS_KEPT, Asked
from agent_sim.device import DeviceState
from agent_sim.events import Apply, Connected, MessageReceived, Save, Started
from agent_sim.model import Status, time_text
from agent_sim.wire import MessageKind, NodeMessage
from broker.topics import Channel
from tests.agent_sim.node import NOW, SimulatedNode, finished, of, published
from tests.agent_sim.server_model import ServerModel


def ask(node: SimulatedNode, command: str, own_id: str = "c1", **more: Any) -> list[Any]:
    content = {"id": own_id, "command": command, "seconds": 30, **more}
    message = NodeMessage(MessageKind.COMMAND, content, {"time": time_text(NOW)})
    return node.happen(MessageReceived(Channel.COMMAND, message))


def answers(actions: list[Any]) -> list[dict[str, Any]]:
    messages = published(actions, Channel.COMMAND_RESPONSE)
    assert {message.kind for message in messages} <= {MessageKind.COMMAND}
    return [message.content for message in messages]


def responses(own_id: str, status: str, output: str = "", cause: str = "") -> list[dict[str, Any]]:
    return [{"id": own_id, "status": status, "output": output, "cause": cause}]


@pytest.fixture
def node() -> SimulatedNode:
    """One that runs an app."""
    node, server = SimulatedNode(), ServerModel()
    server.put_app("web")
    node.happen(Started(), Connected())
    node.obey(server)
    return node


def test_it_reports_now(node: SimulatedNode) -> None:
    actions = ask(node, "report")
    assert len(published(actions, Channel.REPORT)) == 1
    assert answers(actions) == responses("c1", "done")


def test_it_sends_the_end_of_its_log(node: SimulatedNode) -> None:
    (answer,) = answers(ask(node, "logs", lines=2))
    assert answer["output"].splitlines() == [
        "2026-11-23T12:00:00Z starting web version 1",
        "2026-11-23T12:00:00Z applied web version 1",
    ]
    ask(node, "report", "c2")
    (answer,) = answers(ask(node, "logs", "c3", app="web"))
    assert len(answer["output"].splitlines()) == 2
    assert answers(ask(node, "logs", "c4", app="we"))[0]["status"] == "failed"


def test_it_restarts_an_app_and_answers_once_that_runs(node: SimulatedNode) -> None:
    actions = ask(node, "restart", app="web")
    (report,) = published(actions, Channel.REPORT)
    assert report.content["appstats"][0]["status"] == "Pending"
    assert report.content["apps"] == [{"name": "web", "version": "1"}]
    assert answers(actions) == []
    (apply,) = of(actions, Apply)
    actions = node.happen(finished(apply))
    assert answers(actions) == responses("c1", "done")
    (report,) = published(actions, Channel.REPORT)
    (instance,) = report.content["appstats"][0]["instances"].values()
    assert (instance["status"], instance["createTime"]) == ("Running", "2026-11-23T12:00:00Z")
    assert of(actions, Save)
    assert node.state.asked.restarting == {}


def test_two_who_want_the_same_restart_get_one_and_both_an_answer(node: SimulatedNode) -> None:
    (apply,) = of(ask(node, "restart", app="web"), Apply)
    assert of(ask(node, "restart", "c2", app="web"), Apply) == []
    assert answers(node.happen(finished(apply))) == responses("c1", "done") + responses(
        "c2", "done"
    )


def test_a_failed_restart_has_its_cause(node: SimulatedNode) -> None:
    (apply,) = of(ask(node, "restart", app="web"), Apply)
    actions = node.happen(finished(apply, "no such image"))
    assert answers(actions) == responses("c1", "failed", cause="no such image")
    assert node.state.held["web"].status is Status.FAILED
    actions = ask(node, "restart", "c2", app="web")
    assert answers(actions) == responses("c2", "failed", cause="no such image")


def test_a_restart_ends_when_the_app_is_taken_away(node: SimulatedNode) -> None:
    ask(node, "restart", app="web")
    (answer,) = answers(node.hear(Channel.DELTA, {"apps": []}))
    assert (answer["id"], answer["status"]) == ("c1", "failed")


@pytest.mark.parametrize("command", ["reboot", "restart"])
def test_it_refuses_what_it_does_not_know(node: SimulatedNode, command: str) -> None:
    (answer,) = answers(ask(node, command))
    assert answer["status"] == "refused"


def test_it_refuses_everything_where_commands_are_switched_off() -> None:
    node = SimulatedNode(DeviceState(run="r", asked=Asked(refuses=True)))
    node.happen(Started(), Connected())
    actions = ask(node, "report")
    assert published(actions, Channel.REPORT) == []
    assert answers(actions) == responses("c1", "refused", cause="commands are switched off here")


def test_the_same_command_again_is_nothing(node: SimulatedNode) -> None:
    ask(node, "report")
    assert ask(node, "report") == []
    for number in range(IDS_KEPT):
        ask(node, "report", f"other-{number}")
    assert len(node.state.asked.taken) == IDS_KEPT


def test_a_command_that_comes_too_late_by_the_clock_of_the_server_is_dropped(
    node: SimulatedNode,
) -> None:
    deadline = NOW + timedelta(hours=5)
    node.hear(Channel.DELTA, {}, time=time_text(deadline - timedelta(seconds=1)))
    assert answers(ask(node, "report", deadline=time_text(deadline)))
    node.hear(Channel.DELTA, {}, time=time_text(deadline))
    assert answers(ask(node, "report", "c2", deadline=time_text(deadline))) == []


@pytest.mark.parametrize(
    "content",
    [None, {}, {"id": 1, "command": "report"}, {"id": "c", "command": "logs", "lines": 0}],
)
def test_what_cannot_be_read_is_trouble(node: SimulatedNode, content: Any) -> None:
    node.happen(MessageReceived(Channel.COMMAND, NodeMessage(MessageKind.COMMAND, content)))
    node.happen(
        MessageReceived(Channel.COMMAND, NodeMessage(MessageKind.ERROR, "no", {"code": "X"}))
    )
    assert node.state.errors == 2
