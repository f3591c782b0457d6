"""A simulated node that is offered versions: it fetches them, and applies them when it may."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent_sim.device import DeviceState
from agent_sim.events import (
    Action,
    Connected,
    MessageReceived,
    Started,
    StartTimer,
    Timer,
    TimerDue,
)
from agent_sim.offers import Deferral, Offers
from agent_sim.wire import MessageKind, NodeMessage
from broker.topics import Channel
from tests.agent_sim.node import NOW, SimulatedNode, of, published, wanting
from tests.agent_sim.server_model import ServerModel

LATER = "2026-11-23T13:00:00Z"
"""An hour after the time of these tests."""


@pytest.fixture
def held(server: ServerModel) -> str:
    """The version of `web` that the node of these tests runs."""
    return server.versions["web"]


@pytest.fixture
def node(server: ServerModel, held: str) -> SimulatedNode:
    node = SimulatedNode()
    node.happen(Started(), Connected())
    node.obey(server)
    assert node.state.held["web"].version == held
    server.put_app("web", ("configuration", "conf"))
    return node


def offer(version: str, **more: Any) -> dict[str, Any]:
    return {"name": "web", "version": version, **more}


def delta(node: SimulatedNode, version: str, *offers: dict[str, Any]) -> list[Action]:
    return node.hear(Channel.DELTA, {**wanting(("web", version)), "offer": list(offers)})


def converse(node: SimulatedNode, server: ServerModel, actions: list[Action]) -> None:
    """Answer the requests for bodies that follow from *actions*, and no report."""
    waiting = published(actions, Channel.DESIRE)
    while waiting:
        answer = server.answer(Channel.DESIRE, waiting.pop(0))
        assert answer is not None
        waiting += published(node.happen(MessageReceived(*answer)), Channel.DESIRE)


def last_report(node: SimulatedNode) -> Any:
    return published(node.done, Channel.REPORT)[-1].content


def test_what_is_offered_is_fetched_and_not_applied(
    node: SimulatedNode, server: ServerModel, held: str
) -> None:
    new = server.versions["web"]
    converse(node, server, delta(node, held, offer(new)))
    report = last_report(node)
    assert report["offers"] == [{"name": "web", "version": new, "fetched": True}]
    assert report["apps"] == [{"name": "web", "version": held}]
    assert node.state.held["web"].version == held


def test_what_was_fetched_is_applied_without_another_request(
    node: SimulatedNode, server: ServerModel, held: str
) -> None:
    new = server.versions["web"]
    converse(node, server, delta(node, held, offer(new)))
    actions = delta(node, new)
    assert published(actions, Channel.DESIRE) == []
    assert node.state.held["web"].version == new
    assert last_report(node)["offers"] == []
    node.obey(server)
    assert node.state.is_converged


def test_what_is_offered_from_a_time_on_is_applied_then(
    node: SimulatedNode, server: ServerModel, held: str
) -> None:
    new = server.versions["web"]
    actions = delta(node, new, offer(new, notBefore=LATER))
    assert StartTimer(Timer.OFFER, 3600) in of(actions, StartTimer)
    converse(node, server, actions)
    assert node.state.held["web"].version == held
    node.happen(TimerDue(Timer.OFFER))
    assert node.state.held["web"].version == held
    node.now = NOW + timedelta(hours=1)
    node.happen(TimerDue(Timer.OFFER))
    assert node.state.held["web"].version == new


def test_the_clock_of_the_server_decides(
    node: SimulatedNode, server: ServerModel, held: str
) -> None:
    new = server.versions["web"]
    converse(node, server, delta(node, held, offer(new, notBefore=LATER)))
    content = {**wanting(("web", new)), "offer": [offer(new, notBefore=LATER)]}
    heard = NodeMessage(MessageKind.REPORT, content, {"time": LATER})
    node.happen(MessageReceived(Channel.DELTA, heard))
    assert node.state.held["web"].version == new


def test_an_offer_that_is_withdrawn_is_forgotten(
    node: SimulatedNode, server: ServerModel, held: str
) -> None:
    converse(node, server, delta(node, held, offer(server.versions["web"])))
    delta(node, held)
    assert last_report(node)["offers"] == []
    assert node.state.offers == Offers()
    assert node.state.held["web"].version == held


def test_a_body_that_cannot_be_fetched_does_no_harm_to_what_runs(
    node: SimulatedNode, held: str
) -> None:
    delta(node, held, offer("0"))
    request = published(node.done, Channel.DESIRE)[-1]
    meta = {**request.meta, "code": "ResourceNotFound"}
    refusal = NodeMessage(MessageKind.ERROR, "web?", meta)
    node.happen(MessageReceived(Channel.DESIRE_RESPONSE, refusal), TimerDue(Timer.REPORT))
    report = last_report(node)
    assert report["offers"] == [{"name": "web", "version": "0", "fetched": False}]
    assert [one["status"] for one in report["appstats"]] == ["Running"]


def test_consent_is_given_unless_it_is_put_off(
    node: SimulatedNode, server: ServerModel, held: str
) -> None:
    new = server.versions["web"]
    delta(node, held, offer(new, consent=True))
    assert last_report(node)["offers"][0]["answer"] == "accepted"


def test_what_is_put_off_is_accepted_when_the_time_is_over(
    server: ServerModel,
) -> None:
    state = DeviceState(run="r", offers=Offers(deferral=Deferral((("web", ""),), 600)))
    node = SimulatedNode(state)
    node.happen(Connected())
    delta(node, "1", offer("2", consent=True, latest=LATER))
    [entry] = last_report(node)["offers"]
    assert entry == {
        **offer("2", consent=True, latest=LATER, fetched=False),
        "answer": "deferred",
        "until": "2026-11-23T12:10:00Z",
        "reason": "machine in use",
    }
    # The same offer again does not put it off for longer.
    node.now = NOW + timedelta(minutes=5)
    delta(node, "1", offer("2", consent=True, latest="2026-11-23T14:00:00Z"))
    assert last_report(node)["offers"][0]["until"] == "2026-11-23T12:10:00Z"
    node.now = datetime(2026, 11, 23, 12, 10, tzinfo=UTC)
    node.happen(TimerDue(Timer.REPORT))
    assert last_report(node)["offers"][0]["answer"] == "accepted"


def test_a_node_that_knows_no_offers_ignores_them(server: ServerModel) -> None:
    node = SimulatedNode(DeviceState(run="r", offers=None))
    node.happen(Connected())
    node.obey(server)
    held = server.versions["web"]
    actions = delta(node, held, offer("99"))
    assert published(actions, Channel.DESIRE) == []
    node.happen(TimerDue(Timer.REPORT))
    assert "offers" not in last_report(node)
