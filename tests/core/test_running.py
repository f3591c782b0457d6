"""The apps of a report, as they are counted."""

from typing import Any

from cloud.core.app import AppVersion
from cloud.core.report import Order, Report, read_report
from cloud.core.running import (
    APPS_AT_MOST,
    TEXT_LIMIT,
    RunningApp,
    cause_group,
    digest_of,
    running_apps,
)

WANTED = [AppVersion("web", "2"), AppVersion("logs", "7")]


def report(apps: list[tuple[str, str]], stats: Any = None) -> Report:
    content: dict[str, Any] = {"apps": [{"name": name, "version": own} for name, own in apps]}
    if stats is not None:
        content["appstats"] = stats
    return read_report(content, Order())


def states(last: Report) -> list[tuple[str, str, str]]:
    return [(app.name, app.version, app.state) for app in running_apps(last, WANTED)]


def test_the_state_of_an_app_follows_its_status() -> None:
    for status, state in [
        ("Running", "running"),
        ("Succeeded", "running"),
        ("Failed", "failed"),
        ("Pending", "pending"),
        ("", "pending"),
        ("Unknown", "pending"),
    ]:
        last = report([("web", "2")], [{"name": "web", "version": "2", "status": status}])
        assert states(last) == [("web", "2", state)]


def test_stats_of_another_version_count_only_as_those_of_no_version() -> None:
    other = {"name": "web", "version": "1", "status": "Failed"}
    assert states(report([("web", "2")], [other])) == [("web", "2", "pending")]
    without = {"name": "web", "status": "Failed"}
    assert states(report([("web", "2")], [without])) == [("web", "2", "failed")]


def test_a_cause_without_a_definite_status_is_a_failure() -> None:
    instance = {"w-1": {"status": "Unknown", "cause": "service not installed"}}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"status": "Unknown", "instances": instance}, "failed"),
        ({"status": "Unknown", "cause": "gone"}, "failed"),
        ({"cause": "gone"}, "failed"),
        ({"status": "Pending", "cause": "pulling"}, "pending"),
        ({"status": "Running", "cause": "restarted once"}, "running"),
        ({"status": "Unknown", "instances": {"w-1": 1}}, "pending"),
    ]
    for stats, state in cases:
        own = report([("web", "2")], [{"name": "web", "version": "2", **stats}])
        assert states(own) == [("web", "2", state)], stats


def test_what_the_node_could_not_take_over_is_counted_beside_what_it_runs() -> None:
    last = report([("web", "1")], [{"name": "web", "version": "1", "status": "Running"}])
    refused = running_apps(last, WANTED, {"web": "no image"})
    assert {(app.version, app.state) for app in refused} == {("2", "refused"), ("1", "running")}
    assert [app.cause for app in refused] == ["no image", ""]
    digests = [digest_of(last, WANTED, one) for one in ({}, {"web": "a"}, {"web": "b"})]
    assert len(set(digests)) == 3
    assert digest_of(report([]), WANTED, {"logs": "a"}) != ""


def test_an_app_whose_older_version_runs_was_rolled_back() -> None:
    failed = {"name": "web", "version": "2", "status": "Failed", "cause": "exited with code 1"}
    last = report([("web", "2")], [{**failed, "running": "1"}])
    assert running_apps(last, WANTED) == [
        RunningApp("web", "2", "rolledBack", "exited with code 1"),
        RunningApp("web", "1", "running"),
    ]
    for garbage in ("2", "", 7, None, {"version": "1"}):
        own = {**failed, "running": garbage}
        assert states(report([("web", "2")], [own])) == [("web", "2", "failed")], garbage
    too_long = {**failed, "running": "x" * (TEXT_LIMIT + 1)}
    assert states(report([("web", "2")], [too_long])) == [("web", "2", "rolledBack")]
    assert digest_of(last, WANTED) != digest_of(report([("web", "2")], [failed]), WANTED)


def test_causes_that_differ_between_nodes_alone_are_one_group() -> None:
    one, other = (
        f"container {number * 16} left after {seconds} s: dial tcp 10.0.0.{seconds}:80: refused"
        for number, seconds in (("a", 3), ("7", 41))
    )
    assert cause_group(one) == cause_group(other)
    assert cause_group(one) == "container # left after # s: dial tcp #: refused"
    assert cause_group("HTTP 500\nlog") == "HTTP 500"
    assert cause_group("image web:12 not found") != cause_group("image web:13 not found")


def test_a_node_without_stats_runs_what_it_names() -> None:
    assert states(report([("web", "1")])) == [("web", "1", "running")]
    assert states(report([("web", "1")], [])) == [("web", "1", "pending")]


def test_an_app_that_is_not_desired_is_distinguished() -> None:
    assert states(report([("old", "1"), ("logs", "6")])) == [
        ("old", "1", "unselected"),
        ("logs", "6", "running"),
    ]


def test_what_no_app_of_this_server_is_called_is_not_counted() -> None:
    names = ["a" * (TEXT_LIMIT + 1), "\0", "ä", "a\nb"]
    assert states(report([*((name, "1") for name in names), ("web", "x" * 200)])) == []
    many = report([(f"a{number}", "1") for number in range(APPS_AT_MOST + 1)])
    assert len(states(many)) == APPS_AT_MOST


def test_the_digest_is_another_for_whatever_is_counted() -> None:
    web = ("web", "2")
    failed = [{"name": "web", "version": "2", "status": "Failed"}]
    digests = [
        digest_of(report([]), WANTED),
        digest_of(report([web]), WANTED),
        digest_of(report([web]), []),
        digest_of(report([web], []), WANTED),
        digest_of(report([web], failed), WANTED),
        digest_of(report([("web", "22")]), WANTED),
        digest_of(report([web, ("logs", "7")]), WANTED),
    ]
    assert len(set(digests)) == len(digests)
    assert digests[0] == ""
    busy = {**failed[0], "instances": {"i": {"usage": {"cpu": "1"}}}}
    assert digest_of(report([web], [busy]), WANTED) == digests[4]
