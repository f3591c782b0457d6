"""Whose clock is off, and by how much."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloud.core.readiness import Heard, ReportCadence
from cloud.core.report import Order, StoredReport, read_report
from cloud.core.skew import clock_condition

RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


HEARD = Heard(RECEIVED, cadence=ReportCadence(since=RECEIVED - timedelta(seconds=20)))
COUNTED = Order("run", 7)


def stored(order: Order = COUNTED, **content: Any) -> StoredReport:
    return StoredReport(read_report(content, order), "json", RECEIVED, None, None)


@pytest.mark.parametrize(
    ("time", "status", "seconds"),
    [
        ("2026-01-02T03:04:04Z", "False", -1),
        ("2026-01-02T03:05:05Z", "False", 60),
        ("2026-01-02T03:05:06Z", "True", 61),
        ("2026-01-02T03:03:04.5+00:00", "True", -60),
        ("2026-01-02T03:04:05.123456789Z", "False", 0),
        ("2026-01-02T04:04:05+01:00", "False", 0),
        ("2026-01-02T03:04:05", "False", 0),
        ("1970-01-01T00:00:00Z", "True", -1767323045),
        ("2040-01-01T00:00:00Z", "True", 441665755),
    ],
)
def test_a_clock_may_be_off_by_a_minute(time: str, status: str, seconds: int) -> None:
    found = clock_condition(stored(time=time), HEARD)
    assert (found.type, found.status) == ("ClockSkew", status)
    assert found.skew_seconds == seconds
    assert bool(found.message) == (status == "True")


def test_a_skewed_clock_has_a_message() -> None:
    found = clock_condition(stored(time="2026-01-02T03:00:00Z"), HEARD)
    assert found.message == "the node's clock is 245 s behind the server's"


@pytest.mark.parametrize("content", [{}, {"time": 7}, {"time": "noon"}, {"time": ""}, {"time": []}])
def test_a_report_without_a_time_is_not_judged(content: dict[str, Any]) -> None:
    assert clock_condition(stored(**content), HEARD).status == "Unknown"
    assert clock_condition(None, None).status == "Unknown"


@pytest.mark.parametrize("since", [None, RECEIVED])
def test_a_stock_agent_is_not_judged_by_its_first_report_after_a_restart(since: Any) -> None:
    first = Heard(RECEIVED, cadence=ReportCadence(since=since))
    old = {"time": "2026-01-02T02:00:00Z"}
    found = clock_condition(stored(Order(), **old), first)
    assert (found.status, found.skew_seconds) == ("Unknown", None)
    assert "next one" in found.message
    assert clock_condition(stored(Order(), **old), HEARD).status == "True"
    # Reports that are counted are made when they are sent.
    assert clock_condition(stored(COUNTED, **old), first).status == "True"


@pytest.mark.parametrize(
    ("time", "status"),
    [
        ("2026-01-02T03:02:45Z", "False"),
        ("2026-01-02T03:02:44Z", "True"),
        ("2026-01-02T03:05:06Z", "True"),
    ],
)
def test_a_stock_agent_may_be_late_by_an_interval_more(time: str, status: str) -> None:
    """Its restart may be so short that it was not missed."""
    assert clock_condition(stored(Order(), time=time), HEARD).status == status
