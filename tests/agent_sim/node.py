"""A node under test: events in by hand, actions kept."""

from datetime import UTC, datetime
from typing import Any

from agent_sim.device import DeviceState, step
from agent_sim.events import (
    Action,
    Apply,
    ApplyDone,
    Event,
    MessageReceived,
    Publish,
    StartResult,
)
from agent_sim.wire import MessageKind, NodeMessage
from broker.topics import Channel
from tests.agent_sim.server_model import ServerModel

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class SimulatedNode:
    """A node under test, and all that it did."""

    def __init__(self, state: DeviceState | None = None) -> None:
        self.state = state or DeviceState(run="r1")
        self.done: list[Action] = []
        self.now = NOW

    def happen(self, *events: Event) -> list[Action]:
        """What the node does about *events*."""
        begin = len(self.done)
        for event in events:
            self.state, actions = step(self.state, event, self.now)
            self.done += actions
        return self.done[begin:]

    def hear(self, channel: Channel, content: Any, **meta: Any) -> list[Action]:
        kind = MessageKind.REPORT if channel is Channel.DELTA else MessageKind.DESIRE
        return self.happen(MessageReceived(channel, NodeMessage(kind, content, meta)))

    def obey(self, server: ServerModel) -> None:
        """Exchange messages with *server* and finish what is started, until nothing is left."""
        position = 0
        while position < len(self.done):
            action = self.done[position]
            position += 1
            if isinstance(action, Publish):
                answer = server.answer(action.channel, action.message)
                if answer is not None:
                    self.happen(MessageReceived(*answer))
            elif isinstance(action, Apply):
                self.happen(finished(action))


def finished(action: Apply, cause: str = "") -> ApplyDone:
    return ApplyDone(tuple(StartResult(app.name, app.version, cause) for app in action.apps))


def published(actions: list[Action], channel: Channel) -> list[NodeMessage]:
    return [a.message for a in actions if isinstance(a, Publish) and a.channel is channel]


def of(actions: list[Action], kind: type[Any]) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


def error(code: str, text: str = "no", **meta: Any) -> NodeMessage:
    return NodeMessage(MessageKind.ERROR, text, {"code": code, **meta})


def wanting(*apps: tuple[str, str]) -> dict[str, Any]:
    return {"apps": [{"name": name, "version": version} for name, version in apps]}
