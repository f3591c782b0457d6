"""One node, by hand."""

from agent_sim.device import DeviceState, Intervals
from agent_sim.events import (
    Apply,
    Connected,
    Disconnected,
    MessageReceived,
    Publish,
    Save,
    Started,
    StartTimer,
    Timer,
    TimerDue,
    UsageMeasured,
)
from agent_sim.model import NodeUsage
from agent_sim.wire import REQUEST_ID
from broker.topics import Channel
from tests.agent_sim.node import SimulatedNode, error, finished, of, published, wanting
from tests.agent_sim.server_model import ServerModel

# -- reports ---------------------------------------------------------------------------------------


def test_a_report_follows_the_connection_at_once() -> None:
    actions = SimulatedNode().happen(
        Started(), UsageMeasured(NodeUsage("0.5", "1000")), Connected()
    )
    [report] = published(actions, Channel.REPORT)
    assert report.meta == {"seq": 1, "run": "r1", "interval": 20}
    assert report.content["apps"] == []
    assert report.content["nodestats"]["usage"] == {"cpu": "0.5", "memory": "1000"}
    assert report.content["time"] == "2026-11-23T12:00:00Z"
    assert of(actions, StartTimer) == [
        StartTimer(Timer.REPORT, 20),
        StartTimer(Timer.ANSWER, 5),
        StartTimer(Timer.STATS, 5),
    ]


def test_the_sequence_goes_up_by_one_and_on_over_connections(node: SimulatedNode) -> None:
    node.happen(TimerDue(Timer.REPORT), Disconnected(), Connected())
    reports = published(node.done, Channel.REPORT)
    assert [report.meta["seq"] for report in reports] == [1, 2, 3]


def test_nothing_is_sent_without_a_connection(node: SimulatedNode, server: ServerModel) -> None:
    actions = node.happen(
        Disconnected(),
        TimerDue(Timer.REPORT),
        TimerDue(Timer.STATS),
        MessageReceived(Channel.DELTA, server.push()),
    )
    assert of(actions, Publish) == []


def test_stats_go_on_by_themselves(node: SimulatedNode) -> None:
    actions = node.happen(UsageMeasured(NodeUsage("0.7", "5")), TimerDue(Timer.STATS))
    [stats] = published(actions, Channel.STATS)
    assert stats.content == {"nodestats": {"usage": {"cpu": "0.7", "memory": "5"}}}
    assert of(actions, StartTimer) == [StartTimer(Timer.STATS, 5)]


def test_stats_can_be_off() -> None:
    actions = SimulatedNode(DeviceState(run="r", intervals=Intervals(20, 0))).happen(Connected())
    assert of(actions, StartTimer) == [StartTimer(Timer.REPORT, 20), StartTimer(Timer.ANSWER, 5)]


def test_a_report_without_an_answer_is_sent_again_with_backoff(
    server: ServerModel,
) -> None:
    node = SimulatedNode(DeviceState(run="r", intervals=Intervals(30, 0)))
    first = node.happen(Connected())
    again = [node.happen(TimerDue(Timer.ANSWER)) for _ in range(3)]
    pauses = [timer.seconds for one in again for timer in of(one, StartTimer)]
    assert pauses == [30, 10, 30, 20, 30]  # the last time the interval is over first
    assert [published(one, Channel.REPORT)[0].meta["seq"] for one in again] == [2, 3, 4]
    assert of(first, StartTimer)[-1] == StartTimer(Timer.ANSWER, 5)

    answer = server.answer(Channel.REPORT, published(node.done, Channel.REPORT)[-1])
    assert answer is not None
    node.happen(MessageReceived(*answer))
    assert node.happen(TimerDue(Timer.ANSWER)) == []
    assert StartTimer(Timer.ANSWER, 5) in node.happen(TimerDue(Timer.REPORT))


def test_a_report_that_is_refused_is_not_sent_again(node: SimulatedNode) -> None:
    [report] = published(node.happen(TimerDue(Timer.REPORT)), Channel.REPORT)
    refused = error("RequestParamInvalid", seq=report.meta["seq"], run="r1")
    node.happen(MessageReceived(Channel.DELTA, refused))
    assert node.happen(TimerDue(Timer.ANSWER)) == []


# -- deltas and fetching ---------------------------------------------------------------------------


def test_obeying_a_delta_converges(node: SimulatedNode, server: ServerModel) -> None:
    node.obey(server)
    assert node.state.is_converged
    report = published(node.done, Channel.REPORT)[-1].content
    [stats] = report["appstats"]
    assert (stats["status"], stats["cause"]) == ("Running", "")
    assert list(stats["instances"]) == ["web-0", "web-1"]
    assert stats["instances"]["web-1"]["serviceName"] == "web"
    assert stats["instances"]["web-1"]["createTime"] == "2026-11-23T12:00:00Z"
    assert report["apps"] == [{"name": "web", "version": server.versions["web"]}]


def test_bodies_are_saved_before_they_are_reported(
    node: SimulatedNode, server: ServerModel
) -> None:
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


def test_an_app_is_pending_until_it_is_applied(node: SimulatedNode, server: ServerModel) -> None:
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


def test_an_app_that_fails_to_start_reports_the_cause(
    node: SimulatedNode, server: ServerModel
) -> None:
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


def test_a_body_no_node_could_run_fails_with_its_cause(
    node: SimulatedNode, server: ServerModel
) -> None:
    server.files["secret", "cert"]["data"] = {"key": "%%%"}
    node.obey(server)
    [stats] = published(node.done, Channel.REPORT)[-1].content["appstats"]
    assert stats["status"] == "Failed"
    assert stats["cause"] == "secret cert: data['key']: not base64"
    assert of(node.done, Apply) == []
    assert node.state.is_agreed
    assert not node.state.is_converged


def test_what_is_missing_from_a_delta_is_stopped(node: SimulatedNode, server: ServerModel) -> None:
    node.obey(server)
    server.remove_app("web")
    actions = node.happen(MessageReceived(Channel.DELTA, server.push()))
    assert of(actions, Save) == [Save(())]
    assert published(actions, Channel.REPORT)[0].content["apps"] == []


def test_the_old_version_runs_until_the_new_one_is_here(
    node: SimulatedNode, server: ServerModel
) -> None:
    node.obey(server)
    old = server.versions["web"]
    server.put_file("configuration", "conf", "new")
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    assert node.state.held["web"].version == old
    node.happen(TimerDue(Timer.REPORT))
    [stats] = published(node.done, Channel.REPORT)[-1].content["appstats"]
    assert (stats["version"], stats["status"]) == (old, "Running")


def test_applications_are_asked_for_first_and_a_hundred_at_a_time(node: SimulatedNode) -> None:
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


def test_a_newer_version_than_asked_for_is_not_taken(
    node: SimulatedNode, server: ServerModel
) -> None:
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
    node: SimulatedNode, server: ServerModel
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


def test_a_newer_delta_replaces_what_is_being_fetched(
    node: SimulatedNode, server: ServerModel
) -> None:
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


def test_the_same_delta_again_asks_for_nothing_again(
    node: SimulatedNode, server: ServerModel
) -> None:
    push = MessageReceived(Channel.DELTA, server.push())
    node.happen(push)
    assert node.happen(push) == []


def test_no_answer_in_time_asks_again(node: SimulatedNode, server: ServerModel) -> None:
    first = node.happen(MessageReceived(Channel.DELTA, server.push()))
    assert StartTimer(Timer.REQUEST, 30) in first
    second = node.happen(TimerDue(Timer.REQUEST))
    before, after = published(first, Channel.DESIRE)[0], published(second, Channel.DESIRE)[0]
    assert before.content == after.content
    assert before.meta[REQUEST_ID] != after.meta[REQUEST_ID]


def test_a_request_does_not_outlive_its_connection(
    node: SimulatedNode, server: ServerModel
) -> None:
    node.happen(MessageReceived(Channel.DELTA, server.push()))
    actions = node.happen(Disconnected(), Connected())
    assert len(published(actions, Channel.DESIRE)) == 1


def test_what_is_not_found_does_not_keep_the_others_away(
    node: SimulatedNode, server: ServerModel
) -> None:
    server.put_app("broken", ("configuration", "nowhere"))
    node.obey(server)
    assert set(node.state.held) == {"web"}
    node.happen(TimerDue(Timer.REPORT))
    stats = {a["name"]: a for a in published(node.done, Channel.REPORT)[-1].content["appstats"]}
    assert stats["web"]["status"] == "Running"
    assert stats["broken"]["status"] == "Failed"
    assert "ResourceNotFound" in stats["broken"]["cause"]


def test_what_was_not_found_is_asked_for_again_after_the_next_delta(
    node: SimulatedNode, server: ServerModel
) -> None:
    server.put_app("broken", ("configuration", "nowhere"))
    node.obey(server)
    server.files["configuration", "nowhere"] = {"name": "nowhere", "version": "0", "data": {}}
    node.happen(TimerDue(Timer.REPORT))
    node.obey(server)
    assert node.state.is_converged


def test_a_server_that_failed_is_asked_again_after_the_next_delta(
    node: SimulatedNode, server: ServerModel
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


def test_system_apps_are_kept_apart(node: SimulatedNode, server: ServerModel) -> None:
    content = {"apps": [], "sysapps": wanting(("web", server.versions["web"]))["apps"]}
    node.hear(Channel.DELTA, content)
    while not of(node.done, Apply):
        answer = server.answer(Channel.DESIRE, published(node.done, Channel.DESIRE)[-1])
        assert answer is not None
        node.happen(MessageReceived(*answer))
    report = published(node.done, Channel.REPORT)[-1].content
    assert report["apps"] == []
    assert report["sysapps"][0]["name"] == report["sysappstats"][0]["name"] == "web"


def test_a_list_that_a_delta_leaves_out_stays(node: SimulatedNode, server: ServerModel) -> None:
    node.obey(server)
    node.hear(Channel.DELTA, {"sysapps": []})
    assert set(node.state.held) == {"web"}


def test_desired_properties_are_applied_and_reported_at_once(
    node: SimulatedNode, server: ServerModel
) -> None:
    node.obey(server)
    assert "nodeprops" not in published(node.done, Channel.REPORT)[-1].content
    node.hear(Channel.DELTA, {"apps": [], "nodeprops": {"door": "shut"}})
    assert published(node.done, Channel.REPORT)[-1].content["nodeprops"] == {"door": "shut"}
    count = len(published(node.done, Channel.REPORT))
    node.hear(Channel.DELTA, {"apps": [], "nodeprops": {"door": "shut"}})
    node.hear(Channel.DELTA, {})
    assert len(published(node.done, Channel.REPORT)) == count
    node.hear(Channel.DELTA, {"apps": [], "nodeprops": {}})
    assert published(node.done, Channel.REPORT)[-1].content["nodeprops"] == {}
