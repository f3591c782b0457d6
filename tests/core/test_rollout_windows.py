"""Windows, in time zones and over changes to and from summer time."""

from datetime import UTC, datetime

import pytest

from cloud.core.rollout_windows import Window, check_windows, opens_at
from cloud.errors import Invalid

BERLIN = {"time-zone": "Europe.Berlin"}
NIGHT = Window("0 2 * * *", "3h", "node")


def at(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def test_without_windows_nodes_always_may() -> None:
    assert opens_at((), BERLIN, at(1, 1, 12)) is None


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        (at(1, 1, 0, 59), at(1, 1, 1)),
        (at(1, 1, 1), None),
        (at(1, 1, 3, 59), None),
        (at(1, 1, 4), at(1, 2, 1)),
        # Summer time begins: the clock goes from 2:00 to 3:00, which is 1:00 UTC.
        (at(3, 29, 0, 59), at(3, 29, 1)),
        (at(3, 29, 1), None),
        (at(3, 29, 3, 59), None),
        (at(3, 29, 4), at(3, 30, 0)),
        # It ends: 2:00 comes twice, at 0:00 and 1:00 UTC. The window opens at the first.
        (at(10, 24, 23, 59), at(10, 25, 0)),
        (at(10, 25, 0), None),
        (at(10, 25, 2, 59), None),
        (at(10, 25, 3), at(10, 26, 1)),
    ],
)
def test_a_window_is_open_by_the_clock_of_the_node(now: datetime, opens: datetime | None) -> None:
    found = opens_at([NIGHT], BERLIN, now)
    assert (found and found[0]) == opens
    assert found is None or found[1] == "Europe/Berlin"


def test_a_node_without_a_time_zone_has_utc() -> None:
    for labels in ({}, {"time-zone": "Mars.Base"}):
        assert opens_at([NIGHT], labels, at(1, 1, 1)) == (at(1, 1, 2), "UTC")


def test_the_window_that_opens_first_counts() -> None:
    windows = [Window("0 9 * * *", "1h"), Window("0 5 * * *", "1h", "Europe/Berlin")]
    assert opens_at(windows, {}, at(1, 1, 2)) == (at(1, 1, 4), "Europe/Berlin")


@pytest.mark.parametrize("schedule", ["", "0 2 * *", "0 25 * * *", "0 0 31 2 *", "@daily"])
def test_what_is_no_cron_expression_is_refused(schedule: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_windows("windows", (Window(schedule, "1h"),))
    assert caught.value.field == "windows[0].schedule"
