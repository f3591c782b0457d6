"""Points of usage: what is in them, and where they lie in the ring."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.report import Order, read_report
from cloud.core.usage import DAY, UsagePoint, slot_of, step_of, usage_point

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE = {
    "usage": {"cpu": "500m", "memory": "1Gi"},
    "capacity": {"cpu": "2", "memory": "4Gi"},
}
GIB = 2**30


def point(nodestats: Any, later: Any = None) -> UsagePoint | None:
    report = read_report({"nodestats": nodestats}, Order())
    usage = None if later is None else msgspec.json.encode({"nodestats": later})
    return usage_point(report.document, usage, NOW)


def test_usage_is_that_of_the_machine() -> None:
    expected = UsagePoint(NOW, 500, GIB, 2500, 2500)
    assert point(ONE) == point({"host": ONE}) == expected


def test_what_several_machines_use_is_added_up() -> None:
    idle = {"usage": {"cpu": 0, "memory": 0}, "capacity": {"cpu": "8", "memory": "4Gi"}}
    assert point({"a": ONE, "b": idle}) == UsagePoint(NOW, 500, GIB, 500, 1250)


def test_what_came_later_counts() -> None:
    later = {"usage": {"cpu": "1"}}
    expected = UsagePoint(NOW, 1000, GIB, 5000, 2500)
    for before in (ONE, {"host": ONE}):
        assert point(before, later) == point(before, {"host": later}) == expected
    assert point({"a": ONE, "b": ONE}, {"a": later}) == UsagePoint(NOW, 1500, 2 * GIB, 3750, 2500)


@pytest.mark.parametrize(
    ("nodestats", "expected"),
    [
        ({"usage": {"cpu": "1"}}, UsagePoint(NOW, 1000)),
        ({"usage": {"memory": 7}, "capacity": {"memory": 0}}, UsagePoint(NOW, memory=7)),
        ({"usage": {"cpu": "3"}, "capacity": {"cpu": "2"}}, UsagePoint(NOW, 3000, cpu_part=10_000)),
        ({"usage": {"cpu": "much", "memory": "1Ki"}}, UsagePoint(NOW, memory=1024)),
        ({"usage": {"memory": "9e99"}}, UsagePoint(NOW, memory=2**62)),
        # One of two reports nothing: the other is not the sum.
        ({"a": ONE, "b": {"usage": {"memory": "1Gi"}}}, UsagePoint(NOW, memory=2 * GIB)),
        ({"a": "x", "b": ONE}, UsagePoint(NOW, 500, GIB, 2500, 2500)),
        ({}, None),
        (None, None),
        ({"usage": {}}, None),
        ({"usage": "x", "capacity": 1}, None),
        ({"usage": {"cpu": True, "memory": [1]}}, None),
    ],
)
def test_what_is_not_known_is_left_out(nodestats: Any, expected: UsagePoint | None) -> None:
    assert point(nodestats) == expected


@given(
    seconds=st.integers(60, 86_400),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    later=st.timedeltas(timedelta(), 2 * DAY),
)
def test_points_of_one_day_lie_beside_each_other(
    seconds: int, start: datetime, later: timedelta
) -> None:
    step = timedelta(seconds=seconds)
    first, second = step_of(start, step), step_of(start + later, step)
    slots = slot_of(first, step), slot_of(second, step)
    assert all(0 <= slot < DAY // step for slot in slots)
    if 0 < second - first < DAY // step:
        assert slots[0] != slots[1]
    assert (first == second) <= (later < step)


def test_without_history_there_is_one_step() -> None:
    assert step_of(NOW, timedelta()) == 0
