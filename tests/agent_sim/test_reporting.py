"""The content of reports and stats."""

from datetime import UTC, datetime, timedelta, timezone

from agent_sim.fetching import AppFetch, WantedApp
from agent_sim.model import HeldApp, NodeFacts, NodeUsage, Status, time_text
from agent_sim.reporting import report_content, stats_content
from agent_sim.wire import NodeMessage, WireFormat, decode, encode

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FACTS = NodeFacts({"hostname": "h"}, NodeUsage("4", "4096"))
WEB = HeldApp(
    "web", "3", {"services": [{"name": "s"}]}, status=Status.RUNNING, started=NOW, is_system=False
)


def test_a_report_is_a_snapshot_of_everything() -> None:
    content = report_content(FACTS, NodeUsage("0.5", "100"), [WEB], [], NOW)
    assert content == {
        "time": "2026-11-23T12:00:00Z",
        "core": {"goVersion": "", "binVersion": "agent_sim", "gitRevision": ""},
        "node": {"hostname": "h"},
        "nodestats": {
            "usage": {"cpu": "0.5", "memory": "100"},
            "capacity": {"cpu": "4", "memory": "4096"},
        },
        "apps": [{"name": "web", "version": "3"}],
        "appstats": [
            {
                "name": "web",
                "version": "3",
                "status": "Running",
                "cause": "",
                "instances": {
                    "s-0": {
                        "name": "s-0",
                        "serviceName": "s",
                        "status": "Running",
                        "cause": "",
                        "createTime": "2026-11-23T12:00:00Z",
                        "usage": {"cpu": "0.01", "memory": "4194304"},
                    }
                },
            }
        ],
        "sysapps": [],
        "sysappstats": [],
    }


def test_a_report_survives_both_encodings() -> None:
    message = NodeMessage("report", report_content(FACTS, NodeUsage("1", "1"), [WEB], [], NOW))
    for encoding in WireFormat:
        assert decode(encode(message, encoding)) == message


def test_what_could_not_be_fetched_is_failed_but_not_among_the_apps() -> None:
    lost = AppFetch(WantedApp("db", "2"), cause="not found")
    content = report_content(
        FACTS, NodeUsage("1", "1"), [WEB], [lost, AppFetch(WantedApp("x", "1"))], NOW
    )
    assert [app["name"] for app in content["apps"]] == ["web"]
    assert [(a["name"], a["status"], a["cause"]) for a in content["appstats"]] == [
        ("web", "Running", ""),
        ("db", "Failed", "not found"),
    ]


def test_an_app_whose_next_version_could_not_be_fetched_is_named_once() -> None:
    lost = AppFetch(WantedApp("web", "4"), cause="not found")
    content = report_content(FACTS, NodeUsage("1", "1"), [WEB], [lost], NOW)
    assert [(a["version"], a["status"]) for a in content["appstats"]] == [("3", "Running")]


def test_stats_are_usage_alone() -> None:
    usage = {"usage": {"cpu": "1", "memory": "2"}}
    assert stats_content(NodeUsage("1", "2")) == {"nodestats": usage}


def test_times_are_utc() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=3)))
    assert time_text(east) == "2026-11-23T12:00:00Z"
