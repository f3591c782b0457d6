"""One node, by hand and against a model of the server."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent_sim.bodies import parts_of
from agent_sim.device import Pace, State, step
from agent_sim.events import (
    Action,
    Apply,
    ApplyDone,
    Connected,
    Disconnected,
    Event,
    Measured,
    MessageReceived,
    Note,
    Outcome,
    Publish,
    Save,
    Started,
    StartTimer,
    Timer,
    TimerDue,
)
from agent_sim.model import App, Status, Usage
from broker.messages import REQUEST_ID, Kind, Message
from broker.topics import Channel
from tests.agent_sim.server_model import ServerModel

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Node:
    """A node under test, and all that it did."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State(run="r1")
        self.done: list[Action] = []

    def happen(self, *events: Event) -> list[Action]:
        """What the node does about *events*."""
        begin = len(self.done)
        for event in events:
            self.state, actions = step(self.state, event, NOW)
            self.done += actions
        return self.done[begin:]

    def hear(self, channel: Channel, content: Any, **meta: Any) -> list[Action]:
        kind = Kind.REPORT if channel is Channel.DELTA else Kind.DESIRE
        return self.happen(MessageReceived(channel, Message(kind, content, meta)))

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
    return ApplyDone(tuple(Outcome(app.name, app.version, cause) for app in action.apps))


def published(actions: list[Action], channel: Channel) -> list[Message]:
    return [a.message for a in actions if isinstance(a, Publish) and a.channel is channel]


def of(actions: list[Action], kind: type[Any]) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


def error(code: str, text: str = "no", **meta: Any) -> Message:
    return Message(Kind.ERROR, text, {"code": code, **meta})


def wanting(*apps: tuple[str, str]) -> dict[str, Any]:
    return {"apps": [{"name": name, "version": version} for name, version in apps]}


@pytest.fixture
def node() -> Node:
    node = Node()
    node.happen(Started(), Connected())
    return node


@pytest.fixture
def server() -> ServerModel:
    server = ServerModel()
    server.put_file("configuration", "conf")
    server.put_file("secret", "cert")
    server.put_app("web", ("configuration", "conf"), ("secret", "cert"), replica=2)
    return server


# -- reports ---------------------------------------------------------------------------------------


def test_a_report_follows_the_connection_at_once() -> None:
    actions = Node().happen(Started(), Measured(Usage("0.5", "1000")), Connected())
    [report] = published(actions, Channel.REPORT)
    assert report.meta == {"seq": 1, "run": "r1"}
    assert report.content["apps"] == []
    assert report.content["nodestats"]["usage"] == {"cpu": "0.5", "memory": "1000"}
    assert report.content["time"] == "2026-11-23T12:00:00Z"
    assert of(actions, StartTimer) == [StartTimer(Timer.REPORT, 20), StartTimer(Timer.STATS, 5)]


def test_the_sequence_goes_up_by_one_and_on_over_connections(node: Node) -> None:
    node.happen(TimerDue(Timer.REPORT), Disconnected(), Connected())
    reports = published(node.done, Channel.REPORT)
    assert [report.meta["seq"] for report in reports] == [1, 2, 3]


def test_nothing_is_sent_without_a_connection(node: Node, server: ServerModel) -> None:
    actions = node.happen(
        Disconnected(),
        TimerDue(Timer.REPORT),
        TimerDue(Timer.STATS),
        MessageReceived(Channel.DELTA, server.push()),
    )
    assert of(actions, Publish) == []


def test_stats_go_on_by_themselves(node: Node) -> None:
    actions = node.happen(Measured(Usage("0.7", "5")), TimerDue(Timer.STATS))
    [stats] = published(actions, Channel.STATS)
    assert stats.content == {"nodestats": {"usage": {"cpu": "0.7", "memory": "5"}}}
    assert of(actions, StartTimer) == [StartTimer(Timer.STATS, 5)]


def test_stats_can_be_off() -> None:
    actions = Node(State(run="r", pace=Pace(20, 0))).happen(Connected())
    assert of(actions, StartTimer) == [StartTimer(Timer.REPORT, 20)]


# -- deltas and fetching ---------------------------------------------------------------------------


def test_obeying_a_delta_converges(node: Node, server: ServerModel) -> None:
    node.obey(server)
    assert node.state.is_converged
    report = published(node.done, Channel.REPORT)[-1].content
    [stats] = report["appstats"]
    assert (stats["status"], stats["cause"]) == ("Running", "")
    assert list(stats["instances"]) == ["web-0", "web-1"]
    assert stats["instances"]["web-1"]["serviceName"] == "web"
    assert stats["instances"]["web-1"]["createTime"] == "2026-11-23T12:00:00Z"
    assert report["apps"] == [{"name": "web", "version": server.versions["web"]}]


def test_bodies_are_saved_before_they_are_reported(node: Node, server: ServerModel) -> None:
    node.obey(server)
    kinds = [type(a) for a in node.done if isinstance(a, Save | Apply)]
    assert kinds == [Save, Apply, Save]
    saved = next(i for i, a in enumerate(node.done) if isinstance(a, Save))
    naming = [
        index
        for index, a in enumerate(node.done)
        if isinstance(a, Publish) and a.channel is Channel.REPORT and a.message.content["apps"]
    ]
    assert saved < naming[0]


def test_an_app_is_pending_until_it_is_applied(node: Node, server: ServerModel) -> None:
    server.apps["web"]["volumes"] = []
    server.apps["web"]["services"][0]["volumeMounts"] = []
    asked = node.happen(MessageReceived(Channel.DELTA, server.push()))
    [desire] = published(asked, Channel.DESIRE)
    answer = server.answer(Channel.DESIRE, desire)
    assert answer is not None
    actions = node.happen(MessageReceived(*answer))
    [report] = published(actions, Channel.REPORT)
    assert report.content["appstats"][0]["status"] == "Pending"
    assert not node.state.is_converged


def test_what_fails_to_start_says_why(node: Node, server: ServerModel) -> None:
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    while not of(node.done, Apply):
        desire = published(node.done, Channel.DESIRE)[-1]
        answer = server.answer(Channel.DESIRE, desire)
        assert answer is not None
        node.happen(MessageReceived(*answer))
    [apply] = of(node.done, Apply)
    actions = node.happen(finished(apply, cause="no such image"))
    [stats] = published(actions, Channel.REPORT)[0].content["appstats"]
    assert (stats["status"], stats["cause"]) == ("Failed", "no such image")
    assert stats["instances"] == {}


def test_a_body_no_node_could_run_fails_with_its_cause(node: Node, server: ServerModel) -> None:
    server.files["secret", "cert"]["data"] = {"key": "%%%"}
    node.obey(server)
    [stats] = published(node.done, Channel.REPORT)[-1].content["appstats"]
    assert stats["status"] == "Failed"
    assert stats["cause"] == "secret cert: data['key']: not base64"
    assert of(node.done, Apply) == []
    assert node.state.is_agreed
    assert not node.state.is_converged


def test_what_is_missing_from_a_delta_is_stopped(node: Node, server: ServerModel) -> None:
    node.obey(server)
    server.remove_app("web")
    actions = node.happen(MessageReceived(Channel.DELTA, server.push()))
    assert of(actions, Save) == [Save(())]
    assert published(actions, Channel.REPORT)[0].content["apps"] == []


def test_the_old_version_runs_until_the_new_one_is_here(node: Node, server: ServerModel) -> None:
    node.obey(server)
    old = server.versions["web"]
    server.put_file("configuration", "conf", "new")
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    assert node.state.held["web"].version == old
    node.happen(TimerDue(Timer.REPORT))
    [stats] = published(node.done, Channel.REPORT)[-1].content["appstats"]
    assert (stats["version"], stats["status"]) == (old, "Running")


def test_applications_are_asked_for_first_and_a_hundred_at_a_time(node: Node) -> None:
    server = ServerModel()
    for number in range(120):
        server.put_file("configuration", f"c{number}")
        server.put_app(f"a{number}", ("configuration", f"c{number}"), ("configuration", "c0"))
    node.obey(server)
    desires = published(node.done, Channel.DESIRE)
    asked = [[info["kind"] for info in desire.content["infos"]] for desire in desires]
    assert [(len(kinds), kinds[0]) for kinds in asked] == [
        (100, "application"),
        (20, "application"),
        (100, "configuration"),
        (20, "configuration"),
    ]
    assert all(desire.meta["sync"] == "true" for desire in desires)
    assert len({desire.meta[REQUEST_ID] for desire in desires}) == 4
    assert node.state.is_converged


def test_a_newer_version_than_asked_for_is_not_taken(node: Node, server: ServerModel) -> None:
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    [desire] = published(node.done, Channel.DESIRE)
    server.put_file("configuration", "conf", "new")
    answer = server.answer(Channel.DESIRE, desire)
    assert answer is not None
    node.happen(MessageReceived(*answer))
    assert node.state.fetches == ()
    assert node.state.held == {}
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    node.obey(server)
    assert node.state.is_converged


def test_a_newer_configuration_than_the_app_names_is_not_taken(
    node: Node, server: ServerModel
) -> None:
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    first = server.answer(Channel.DESIRE, published(node.done, Channel.DESIRE)[-1])
    assert first is not None
    node.happen(MessageReceived(*first))
    server.put_file("configuration", "conf", "new")
    second = server.answer(Channel.DESIRE, published(node.done, Channel.DESIRE)[-1])
    assert second is not None
    node.happen(MessageReceived(*second))
    assert (node.state.fetches, node.state.held) == ((), {})


def test_a_newer_delta_replaces_what_is_being_fetched(node: Node, server: ServerModel) -> None:
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    asked = published(node.done, Channel.DESIRE)[-1]
    server.put_app("web")
    actions = node.happen(MessageReceived(Channel.DELTA, server.push()))
    assert (
        published(actions, Channel.DESIRE)[0].content["infos"][0]["version"]
        == (server.versions["web"])
    )
    late = server.answer(Channel.DESIRE, asked)
    assert late is not None
    assert node.happen(MessageReceived(*late)) == []


def test_the_same_delta_again_asks_for_nothing_again(node: Node, server: ServerModel) -> None:
    push = MessageReceived(Channel.DELTA, server.push())
    node.happen(push)
    assert node.happen(push) == []


def test_no_answer_in_time_asks_again(node: Node, server: ServerModel) -> None:
    first = node.happen(MessageReceived(Channel.DELTA, server.push()))
    assert StartTimer(Timer.REQUEST, 30) in first
    second = node.happen(TimerDue(Timer.REQUEST))
    before, after = published(first, Channel.DESIRE)[0], published(second, Channel.DESIRE)[0]
    assert before.content == after.content
    assert before.meta[REQUEST_ID] != after.meta[REQUEST_ID]


def test_a_request_does_not_outlive_its_connection(node: Node, server: ServerModel) -> None:
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    actions = node.happen(Disconnected(), Connected())
    assert len(published(actions, Channel.DESIRE)) == 1


def test_what_is_not_found_does_not_keep_the_others_away(node: Node, server: ServerModel) -> None:
    server.put_app("broken", ("configuration", "nowhere"))
    node.obey(server)
    assert set(node.state.held) == {"web"}
    node.happen(TimerDue(Timer.REPORT))
    stats = {a["name"]: a for a in published(node.done, Channel.REPORT)[-1].content["appstats"]}
    assert stats["web"]["status"] == "Running"
    assert stats["broken"]["status"] == "Failed"
    assert "ResourceNotFound" in stats["broken"]["cause"]


def test_what_was_not_found_is_asked_for_again_after_the_next_delta(
    node: Node, server: ServerModel
) -> None:
    server.put_app("broken", ("configuration", "nowhere"))
    node.obey(server)
    server.files["configuration", "nowhere"] = {"name": "nowhere", "version": "0", "data": {}}
    node.happen(TimerDue(Timer.REPORT))
    node.obey(server)
    assert node.state.is_converged


def test_a_server_that_failed_is_asked_again_after_the_next_delta(
    node: Node, server: ServerModel
) -> None:
    server.put_app("other")
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    request = node.state.request
    assert request is not None
    failed = error("UnknownError", **{REQUEST_ID: request.id})
    actions = node.happen(MessageReceived(Channel.DESIRE_RESPONSE, failed))
    assert published(actions, Channel.DESIRE) == []
    actions = node.happen(MessageReceived(Channel.DELTA, server.push()))
    assert len(published(actions, Channel.DESIRE)) == 1


def test_system_apps_are_kept_apart(node: Node, server: ServerModel) -> None:
    content = {"apps": [], "sysapps": wanting(("web", server.versions["web"]))["apps"]}
    node.hear(Channel.DELTA, content)
    while not of(node.done, Apply):
        answer = server.answer(Channel.DESIRE, published(node.done, Channel.DESIRE)[-1])
        assert answer is not None
        node.happen(MessageReceived(*answer))
    report = published(node.done, Channel.REPORT)[-1].content
    assert report["apps"] == []
    assert report["sysapps"][0]["name"] == report["sysappstats"][0]["name"] == "web"


def test_a_list_that_a_delta_leaves_out_stays(node: Node, server: ServerModel) -> None:
    node.obey(server)
    node.hear(Channel.DELTA, {"sysapps": []})
    assert set(node.state.held) == {"web"}


# -- what is late, odd or wrong --------------------------------------------------------------------


def test_an_answer_to_an_older_report_than_the_last_answered_is_ignored(node: Node) -> None:
    node.happen(TimerDue(Timer.REPORT))
    node.hear(Channel.DELTA, {}, seq=2, run="r1")
    assert node.hear(Channel.DELTA, wanting(("old", "1")), seq=1, run="r1") == []


def test_an_answer_to_an_earlier_run_is_ignored(node: Node) -> None:
    assert node.hear(Channel.DELTA, wanting(("old", "1")), seq=1, run="r0") == []


def test_a_sequence_may_come_back_as_text(node: Node) -> None:
    node.hear(Channel.DELTA, {}, seq="1", run="r1")
    assert node.state.is_converged


@pytest.mark.parametrize(
    "content",
    [None, [], "x", {"apps": None}, {"apps": [1]}, {"apps": [{"name": "a"}]}],
)
def test_a_delta_that_cannot_be_read_changes_nothing(node: Node, content: Any) -> None:
    before = node.state
    actions = node.hear(Channel.DELTA, content)
    assert node.state == replace(before, errors=1)
    assert [type(action) for action in actions] == [Note]


def test_errors_are_counted_and_the_node_goes_on(node: Node, server: ServerModel) -> None:
    node.happen(MessageReceived(Channel.DELTA, error("RequestParamInvalid", seq=1)))
    node.happen(MessageReceived(Channel.DESIRE_RESPONSE, error("ResourceNotFound")))
    node.happen(MessageReceived(Channel.DELTA, Message("mystery")))
    assert node.state.errors == 3
    node.obey(server)
    assert node.state.is_converged


def test_values_that_do_not_match_the_request_are_not_taken(
    node: Node, server: ServerModel
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


def test_an_outcome_of_what_has_been_replaced_is_ignored(node: Node) -> None:
    assert node.happen(ApplyDone((Outcome("web", "0"),))) == []


def test_an_outcome_of_an_older_version_says_nothing_of_the_new_one(node: Node) -> None:
    app = App("web", "2", {})
    node.state = replace(node.state, held={"web": app})
    assert node.happen(ApplyDone((Outcome("web", "1"),))) == []
    assert node.state.held["web"].status is Status.PENDING


def test_node_and_server_agree_only_about_the_last_report(node: Node, server: ServerModel) -> None:
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
    apps = (App("a", "1", {}), App("b", "1", {}, status=Status.RUNNING))
    node = Node(State(run="r2", held={app.name: app for app in apps}))
    assert node.happen(Started()) == [Apply(apps[:1])]
    actions = node.happen(Connected())
    assert len(published(actions, Channel.REPORT)[0].content["apps"]) == 2


# -- against a server, over a bad network ----------------------------------------------------------

APPS = st.sampled_from(["a", "b", "c"])
FILES = st.sampled_from([("configuration", "x"), ("configuration", "y"), ("secret", "x")])


class NodeAndServer(RuleBasedStateMachine):
    """Whatever is lost, doubled, reordered or restarted, the node comes to run what it should."""

    def __init__(self) -> None:
        super().__init__()
        self.server = ServerModel()
        self.node = Node(State(run="r0"))
        self.starts = 0
        self.looked = 0
        self.up: list[tuple[Channel, Message]] = []
        self.down: list[tuple[Channel, Message]] = []
        self.applying: list[Apply] = []
        self.timers: set[Timer] = set()
        self.saved: tuple[App, ...] = ()
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
                case Note():
                    pass

    def check(self, channel: Channel, message: Message) -> None:
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
        self.node = Node(State(run=f"r{self.starts}", held=held))
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
