"""Evidence of reports: what counts as healthy, as failed, and as returned."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloud.core.report import Order, Report, read_report
from cloud.core.rollout import Assignment, AssignmentState
from cloud.core.rollout_evidence import after_report, after_sending, evidence_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=20)
SENT = Assignment("n1", "web", "2", "1", AssignmentState.SENT, admitted=NOW, sent=NOW)


def report(version: str = "2", **stats: Any) -> Report:
    apps = [{"name": "web", "version": version}] if version else []
    own = {"name": "web", "version": version, "status": "Running", **stats}
    return read_report({"apps": apps, "appstats": [own] if apps else []}, Order())


def instances(*statuses: str, restarts: int = 0) -> dict[str, Any]:
    return {
        f"web-{index}": {"status": status, "restarts": restarts}
        for index, status in enumerate(statuses)
    }


def test_a_report_from_before_the_version_was_sent_shows_nothing() -> None:
    assert after_report(SENT, report(), NOW) is SENT


def test_a_node_is_healthy_since_the_first_good_report() -> None:
    healthy = after_report(SENT, report(), LATER)
    assert (healthy.state, healthy.healthy) == (AssignmentState.SENT, LATER)
    assert after_report(healthy, report(), LATER + timedelta(seconds=20)) is healthy


def test_every_instance_has_to_work() -> None:
    seen = evidence_of(report(instances=instances("Running", "Pending")), "web", "2")
    assert (seen.is_taken, seen.is_healthy, seen.cause) == (True, False, "")
    healthy = after_report(SENT, report(), LATER)
    ill = after_report(healthy, report(instances=instances("Pending")), LATER)
    assert ill.healthy is None


def test_a_node_that_still_prepares_the_version_has_not_failed() -> None:
    """The node agent reports what it runs until then."""
    stats = {"status": "Pending", "cause": "it is being prepared", "running": "1"}
    assert after_report(SENT, report(**stats), LATER) is SENT


@pytest.mark.parametrize(
    ("stats", "cause"),
    [
        ({"status": "Failed", "cause": "exited with 1"}, "exited with 1"),
        ({"status": "Failed", "running": "1", "cause": "not ready"}, "not ready"),
        ({"running": "1"}, "runs version 1 instead"),
    ],
)
def test_a_node_that_reports_a_failure_or_went_back_has_failed(
    stats: dict[str, Any], cause: str
) -> None:
    failed = after_report(SENT, report(**stats), LATER)
    assert (failed.state, failed.cause) == (AssignmentState.FAILED, cause)


def test_a_node_that_refuses_the_version_has_failed() -> None:
    failed = after_report(SENT, report("1"), LATER, "no such image")
    assert (failed.state, failed.cause) == (AssignmentState.FAILED, "no such image")


def test_a_restart_after_the_first_good_report_is_a_failure() -> None:
    healthy = after_report(SENT, report(instances=instances("Running", restarts=2)), LATER)
    again = after_report(healthy, report(instances=instances("Running", restarts=3)), LATER)
    assert again.cause == "restarted 1 times"


def test_a_node_has_returned_once_it_reports_its_previous_version() -> None:
    back = Assignment("n1", "web", "1", "1", AssignmentState.RETURNING, admitted=NOW)
    assert after_report(back, report("1"), NOW) is back
    returned = after_report(back, report("1"), LATER)
    assert returned.state is AssignmentState.RETURNED
    assert after_report(returned, report("2"), LATER).state is AssignmentState.RETURNING


def test_a_node_that_had_no_version_has_returned_once_the_app_is_gone() -> None:
    back = Assignment("n1", "web", "", "", AssignmentState.RETURNING, admitted=NOW)
    assert after_report(back, report("2"), LATER) is back
    assert after_report(back, report(""), LATER).state is AssignmentState.RETURNED


def test_what_is_sent_counts_from_the_first_time() -> None:
    admitted = Assignment("n1", "web", "2", "1", AssignmentState.ADMITTED, admitted=NOW)
    sent = after_sending(admitted, NOW)
    assert (sent.state, sent.sent) == (AssignmentState.SENT, NOW)
    assert after_sending(sent, LATER) is sent
    # It runs the version already, and is sent nothing: later reports are the evidence.
    assert after_report(admitted, report(), LATER).sent == LATER
