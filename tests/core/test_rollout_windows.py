"""Windows, in time zones and over changes to and from summer time."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.rollout_explain import rollout_words, without_names
from cloud.core.rollout_turns import RolloutWait, WaitReason
from cloud.core.rollout_windows import Window, check_windows, opens_at
from cloud.errors import Invalid
from tests.core.rollout_fleet import fleet_of

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


@pytest.mark.parametrize(
    ("schedule", "now", "opens"),
    [
        # The start is skipped: the window opens when the clock is put forward.
        ("30 2 * * *", at(3, 29, 0, 59), at(3, 29, 1)),
        ("30 2 * * *", at(3, 29, 1, 59), None),
        ("30 2 * * *", at(3, 29, 2), at(3, 30, 0, 30)),
        # 2:30 comes twice, at 0:30 and 1:30 UTC: the window opens at the first, and once.
        ("30 2 * * *", at(10, 25, 0, 29), at(10, 25, 0, 30)),
        ("30 2 * * *", at(10, 25, 1, 29), None),
        ("30 2 * * *", at(10, 25, 1, 30), at(10, 26, 1, 30)),
        ("30 2 * * *", at(10, 25, 2, 10), at(10, 26, 1, 30)),
        ("30 2,4 * * *", at(10, 25, 1, 40), at(10, 25, 3, 30)),
        # What repeats within the hour follows the clock.
        ("*/30 2 * * *", at(3, 29, 0, 59), at(3, 30, 0)),
        ("*/30 2 * * *", at(10, 25, 2, 29), None),
    ],
)
def test_a_start_that_is_skipped_or_comes_twice_opens_the_window_once(
    schedule: str, now: datetime, opens: datetime | None
) -> None:
    found = opens_at([Window(schedule, "1h", "node")], BERLIN, now)
    assert (found and found[0]) == opens


ZONES = ("Europe.Berlin", "America.New_York", "Australia.Lord_Howe", "America.Santiago", "UTC")
CHANGES = (at(3, 8, 6), at(3, 29, 0), at(4, 4, 14), at(9, 6, 3), at(10, 3, 15), at(10, 25, 0))
"""About when the clocks of these zones are changed."""


@given(
    schedule=st.sampled_from(["30 2 * * *", "15 1,2,3 * * *", "0 0 * * 0", "*/20 1-3 * * *"]),
    minutes=st.integers(5, 300),
    zone=st.sampled_from(ZONES),
    change=st.sampled_from(CHANGES),
    offset=st.integers(-600, 600),
)
def test_a_window_opens_when_that_was_announced_and_not_before(
    schedule: str, minutes: int, zone: str, change: datetime, offset: int
) -> None:
    windows, labels = [Window(schedule, f"{minutes}m", "node")], {"time-zone": zone}
    now = change + timedelta(minutes=offset)
    found = opens_at(windows, labels, now)
    if found is None:
        return
    opening, _ = found
    assert now < opening
    assert opens_at(windows, labels, opening) is None
    for passed in range(0, min(600, (opening - now) // timedelta(minutes=1)), 20):
        assert opens_at(windows, labels, now + timedelta(minutes=passed)) == found


@pytest.mark.parametrize(
    ("before", "opening", "end", "clock"),
    [
        (at(3, 29, 0, 59), at(3, 29, 1), at(3, 29, 4), "03:00"),
        (at(10, 24, 23, 59), at(10, 25, 0), at(10, 25, 3), "02:00"),
    ],
)
def test_nodes_get_versions_by_their_own_clock_on_the_days_on_which_it_is_changed(
    before: datetime, opening: datetime, end: datetime, clock: str
) -> None:
    window = {"schedule": "0 2 * * *", "duration": "3h", "timeZone": "node"}
    fleet = fleet_of(2, windows=[window])
    own = fleet.devices["n00"]
    own.labels = BERLIN

    def step(now: datetime) -> tuple[set[str], Mapping[str, RolloutWait]]:
        """Who is admitted if the first step is at *now*, and who waits."""
        fleet.now = now
        fleet.rows.clear()
        for device in fleet.devices.values():
            device.last_report = now
        waits = {wait.node: wait for wait in fleet.step().waits}
        return set(fleet.rows), waits

    admitted, waits = step(before)
    assert "n00" not in admitted
    wait = waits["n00"]
    assert wait.until == opening
    words = rollout_words(fleet.rollout, wait, None, own.labels, before)
    assert words == f"version 2 is outside its window until {clock} Europe/Berlin"
    for moment in (opening, end - timedelta(minutes=1)):
        assert "n00" in step(moment)[0]
    # The other node has UTC: its window is from 2:00 to 5:00.
    assert step(end)[0] == {"n01"}


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


def test_a_wait_can_be_described_without_the_names_of_others() -> None:
    rollout, now = msgspec.structs.replace(fleet_of(2).rollout, cause="n2 failed"), at(1, 1, 1)
    for reason in (WaitReason.BUDGET, WaitReason.PAUSE):
        wait = RolloutWait("n1", reason, "site=a: n2, n3")
        assert "n2" in rollout_words(rollout, wait, None, {}, now)
        quiet = rollout_words(*without_names(rollout, wait), None, {}, now)
        assert "n2" not in quiet
        assert "n3" not in quiet
        assert not quiet.endswith((":", ")", " "))
