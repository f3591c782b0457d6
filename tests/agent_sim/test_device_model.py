"""One node against a model of the server, over a bad network."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent_sim.bodies import parts_of
from agent_sim.device import DeviceState
from agent_sim.events import (
    Apply,
    Connected,
    Disconnected,
    Event,
    LogLine,
    MessageReceived,
    Publish,
    Save,
    Started,
    StartTimer,
    Timer,
    TimerDue,
)
from agent_sim.model import HeldApp
from agent_sim.wire import NodeMessage
from broker.topics import Channel
from tests.agent_sim.node import SimulatedNode, finished
from tests.agent_sim.server_model import ServerModel

APPS = st.sampled_from(["a", "b", "c"])
FILES = st.sampled_from([("configuration", "x"), ("configuration", "y"), ("secret", "x")])


class NodeAndServer(RuleBasedStateMachine):
    """Whatever is lost, doubled, reordered or restarted, the node comes to run what it should."""

    def __init__(self) -> None:
        super().__init__()
        self.server = ServerModel()
        self.node = SimulatedNode(DeviceState(run="r0"))
        self.starts = 0
        self.looked = 0
        self.up: list[tuple[Channel, NodeMessage]] = []
        self.down: list[tuple[Channel, NodeMessage]] = []
        self.applying: list[Apply] = []
        self.timers: set[Timer] = set()
        self.saved: tuple[HeldApp, ...] = ()
        self.last_seq = 0
        self.happen(Started())

    def happen(self, event: Event) -> None:
        for action in self.node.happen(event):
            match action:
                case Publish(channel, message):
                    self.check(channel, message)
                    self.up.append((channel, message))
                case StartTimer(timer):
                    self.timers.add(timer)
                case Apply():
                    self.applying.append(action)
                case Save(apps):
                    self.saved = apps
                case LogLine():
                    pass

    def check(self, channel: Channel, message: NodeMessage) -> None:
        if channel is Channel.DESIRE:
            assert 1 <= len(message.content["infos"]) <= 100
        if channel is not Channel.REPORT:
            return
        seq = message.meta["seq"]
        assert isinstance(seq, int)
        assert seq > self.last_seq
        self.last_seq = seq
        saved = {(app.name, app.version) for app in self.saved}
        for app in message.content["apps"]:
            assert (app["name"], app["version"]) in saved
        for stats in message.content["appstats"]:
            if stats["status"] != "Failed":
                assert (stats["name"], stats["version"]) in saved

    @rule(name=APPS, mounted=st.sets(FILES), replica=st.integers(0, 3))
    def put_app(self, name: str, mounted: set[tuple[str, str]], replica: int) -> None:
        self.server.put_app(name, *sorted(mounted), replica=replica)

    @rule(name=APPS)
    def remove_app(self, name: str) -> None:
        self.server.remove_app(name)

    @rule(file=FILES)
    def change_file(self, file: tuple[str, str]) -> None:
        self.server.put_file(*file)

    @rule()
    def push(self) -> None:
        if self.node.state.is_connected:
            self.down.append((Channel.DELTA, self.server.push()))

    @rule()
    def connect(self) -> None:
        if not self.node.state.is_connected:
            self.happen(Connected())

    @precondition(lambda self: self.node.state.is_connected)
    @rule()
    def disconnect(self) -> None:
        self.up.clear()
        self.happen(Disconnected())

    @rule()
    def restart(self) -> None:
        self.up.clear()
        self.applying.clear()
        self.timers.clear()
        self.starts += 1
        self.last_seq = 0
        held = {app.name: app for app in self.saved}
        self.node = SimulatedNode(DeviceState(run=f"r{self.starts}", held=held))
        self.happen(Started())

    @precondition(lambda self: self.up)
    @rule(data=st.data(), keep=st.booleans())
    def server_reads(self, data: st.DataObject, keep: bool) -> None:  # noqa: FBT001
        index = data.draw(st.integers(0, len(self.up) - 1))
        channel, message = self.up[index] if keep else self.up.pop(index)
        answer = self.server.answer(channel, message)
        if answer is not None:
            self.down.append(answer)

    @precondition(lambda self: self.down)
    @rule(data=st.data(), keep=st.booleans())
    def node_reads(self, data: st.DataObject, keep: bool) -> None:  # noqa: FBT001
        index = data.draw(st.integers(0, len(self.down) - 1))
        received = self.down[index] if keep else self.down.pop(index)
        self.happen(MessageReceived(*received))

    @precondition(lambda self: self.down or self.up)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        messages = data.draw(st.sampled_from([m for m in (self.up, self.down) if m]))
        messages.pop(data.draw(st.integers(0, len(messages) - 1)))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def timer_due(self, data: st.DataObject) -> None:
        timer = data.draw(st.sampled_from(sorted(self.timers)))
        self.timers.discard(timer)
        self.happen(TimerDue(timer))

    @precondition(lambda self: self.applying)
    @rule(data=st.data())
    def apply_done(self, data: st.DataObject) -> None:
        self.happen(finished(self.applying.pop(data.draw(st.integers(0, len(self.applying) - 1)))))

    @invariant()
    def what_is_held_is_saved(self) -> None:
        assert {a.name: a.version for a in self.node.state.held.values()} == {
            a.name: a.version for a in self.saved
        }

    @invariant()
    def what_is_held_is_of_one_version(self) -> None:
        for app in self.node.state.held.values():
            assert app.body["version"] == app.version
            assert {part.info for part in app.parts} == set(parts_of(app.body))
            assert all(part.body["version"] == part.info.version for part in app.parts)

    def settle(self) -> None:
        """Lose nothing more; let every timer run out a few times."""
        for _ in range(4):
            self.drain()
            for timer in sorted(self.timers - {Timer.STATS}):
                self.timers.discard(timer)
                self.happen(TimerDue(timer))
        self.drain()

    def drain(self) -> None:
        while self.up or self.down or self.applying:
            self.looked += 1
            assert self.looked < 10_000, "they never stop talking"
            if self.applying:
                self.happen(finished(self.applying.pop(0)))
            elif self.down:
                self.happen(MessageReceived(*self.down.pop(0)))
            else:
                answer = self.server.answer(*self.up.pop(0))
                if answer is not None:
                    self.down.append(answer)

    def teardown(self) -> None:
        self.connect()
        self.settle()
        held = {app.name: app.version for app in self.node.state.held.values()}
        whole = {
            name: body["version"]
            for name, body in self.server.apps.items()
            if all(
                next(iter(v.values()))["version"] != "0"
                for v in ({k: x for k, x in vol.items() if k != "name"} for vol in body["volumes"])
            )
        }
        assert {n: v for n, v in held.items() if n in whole} == whole
        if len(whole) == len(self.server.apps):
            assert held == whole
            assert self.node.state.is_converged


NodeAndServer.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestNodeAndServer = NodeAndServer.TestCase
