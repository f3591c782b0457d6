"""The scheduler of rollouts, by examples."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from cloud.core.rollout import AssignmentState, RolloutState
from cloud.core.rollout_plan import with_approval
from cloud.core.rollout_turns import WaitReason
from tests.core.rollout_fleet import Behaviour, Fleet, fleet_of

CANARY = {"name": "canary", "selector": "ring=canary"}
CAREFUL = {"by": "site", "maxUnavailable": 1}


def waits(fleet: Fleet) -> set[WaitReason]:
    return {wait.reason for wait in fleet.step().waits}


def test_a_good_version_reaches_all_nodes_by_stages() -> None:
    fleet = fleet_of(10, stages=[CANARY | {"soak": "2m"}, {"name": "half", "limit": "50%"}])
    fleet.step()
    assert fleet.states() == {"n00": AssignmentState.ADMITTED}
    fleet.run(1)
    assert fleet.states() == {"n00": AssignmentState.SENT}
    assert waits(fleet) == {WaitReason.SOAK}
    fleet.run(4)
    assert fleet.rollout.state is RolloutState.DONE
    assert {device.applied for device in fleet.devices.values()} == {"2"}


def test_a_bad_version_is_stopped_at_the_canary_and_taken_back() -> None:
    fleet = fleet_of(10, stages=[CANARY], failure={"action": "rollback"})
    fleet.devices["n00"].behaviour = Behaviour.FAILS
    fleet.run(2)
    assert fleet.rollout.state is RolloutState.ROLLED_BACK
    assert fleet.rollout.cause == "1 node failed, of 0 allowed"
    assert fleet.states() == {"n00": AssignmentState.RETURNED}
    assert {device.applied for device in fleet.devices.values()} == {"1"}


def test_a_rollout_that_is_paused_by_failures_admits_no_further_node() -> None:
    fleet = fleet_of(10, stages=[CANARY])
    fleet.devices["n00"].behaviour = Behaviour.FAILS
    fleet.run(5)
    assert fleet.rollout.state is RolloutState.PAUSED
    assert fleet.rollout.has_failed
    assert fleet.states() == {"n00": AssignmentState.FAILED}


def test_a_node_that_vanishes_after_it_was_sent_the_version_has_failed() -> None:
    fleet = fleet_of(4, stages=[CANARY], deadline="3m")
    fleet.step()
    fleet.send(fleet.devices["n00"])
    fleet.devices["n00"].is_away = True
    fleet.run(2)
    assert fleet.states() == {"n00": AssignmentState.SENT}
    fleet.run(2)
    assert fleet.rows["n00"].cause == "no report for 3m after it was sent the version"
    assert fleet.rollout.state is RolloutState.PAUSED


def test_a_node_that_stays_unhealthy_past_the_deadline_has_failed() -> None:
    fleet = fleet_of(4, stages=[CANARY], deadline="3m")
    fleet.devices["n00"].behaviour = Behaviour.STARTS
    fleet.run(5)
    assert fleet.rows["n00"].cause == "not healthy 3m after it was sent the version"


def test_two_nodes_of_a_group_are_never_down_at_once() -> None:
    fleet = fleet_of(6, budget=CAREFUL)
    fleet.step()
    sites = [fleet.devices[name].labels["site"] for name in fleet.rows]
    assert sorted(sites) == ["s0", "s1", "s2"]
    assert waits(fleet) == {WaitReason.BUDGET, WaitReason.SENDING}
    fleet.run(3)
    assert fleet.rollout.state is RolloutState.DONE


def test_the_other_node_of_a_group_is_skipped_where_one_failed() -> None:
    fleet = fleet_of(6, budget=CAREFUL, failure={"max": 1}, stages=[{"name": "all", "success": 1}])
    fleet.devices["n00"].behaviour = fleet.devices["n01"].behaviour = Behaviour.FAILS
    fleet.run(3)
    states = sorted([fleet.rows["n00"].state, fleet.rows["n01"].state])
    assert states == [AssignmentState.FAILED, AssignmentState.SKIPPED]
    assert fleet.rollout.state is RolloutState.DONE


def test_nodes_that_are_offline_are_skipped_and_get_the_version_when_they_are_back() -> None:
    fleet = fleet_of(4)
    fleet.devices["n03"].is_away = True
    fleet.pass_time(timedelta(minutes=5))
    fleet.run(2)
    assert fleet.rollout.state is RolloutState.DONE
    assert fleet.states()["n03"] is AssignmentState.SKIPPED
    assert fleet.desired("n03") == "1"
    fleet.devices["n03"].is_away = False
    fleet.run(2)
    assert fleet.states()["n03"] is AssignmentState.UPDATED


def test_a_rollout_waits_for_nodes_that_are_offline_where_it_should() -> None:
    fleet = fleet_of(4, offline="wait")
    fleet.devices["n03"].is_away = True
    fleet.pass_time(timedelta(minutes=5))
    fleet.run(2)
    assert fleet.rollout.state is RolloutState.RUNNING
    assert [(wait.node, wait.reason) for wait in fleet.step().waits] == [
        ("n03", WaitReason.OFFLINE)
    ]


def test_a_canary_stage_whose_nodes_are_all_offline_shows_nothing_and_is_waited_for() -> None:
    fleet = fleet_of(4, stages=[CANARY])
    fleet.devices["n00"].is_away = True
    fleet.pass_time(timedelta(minutes=5))
    fleet.run(2)
    assert fleet.rollout.stage == 0
    assert waits(fleet) == {WaitReason.OFFLINE}


def test_a_stage_with_approval_begins_once_it_is_approved() -> None:
    fleet = fleet_of(4, stages=[CANARY, {"name": "all", "approval": "required"}])
    fleet.run(2)
    assert fleet.rollout.state is RolloutState.WAITING_FOR_APPROVAL
    assert waits(fleet) == {WaitReason.APPROVAL}
    assert set(fleet.rows) == {"n00"}
    fleet.rollout = with_approval(fleet.rollout, 1, "alice", fleet.now)
    fleet.run(2)
    assert fleet.rollout.state is RolloutState.DONE


def test_a_late_joiner_of_a_stage_that_is_complete_gets_the_version() -> None:
    fleet = fleet_of(4, stages=[CANARY, {"name": "all", "approval": "required"}])
    fleet.run(2)
    late = fleet.devices["n01"]
    late.labels = {**late.labels, "ring": "canary"}
    fleet.run(2)
    assert fleet.states() == {"n00": AssignmentState.UPDATED, "n01": AssignmentState.UPDATED}


def test_nodes_get_the_version_within_their_window_only() -> None:
    zone = {"site": "s9", "time-zone": "Europe.Berlin"}
    window = {"schedule": "0 15 * * *", "duration": "1h", "timeZone": "node"}
    fleet = fleet_of(2, windows=[window])
    fleet.devices["n00"].labels = zone
    found = {wait.node: wait for wait in fleet.step().waits}
    assert found["n00"].until == datetime(2026, 3, 1, 14, tzinfo=UTC)
    assert found["n00"].detail == "outside its window (Europe/Berlin)"
    assert found["n01"].until == datetime(2026, 3, 1, 15, tzinfo=UTC)
    fleet.run(125)
    assert set(fleet.rows) == {"n00"}
    fleet.run(60)
    assert fleet.rollout.state is RolloutState.DONE


def test_an_emergency_skips_soak_and_windows_but_not_the_failure_bound() -> None:
    window = {"schedule": "0 3 * * *", "duration": "1h"}
    rules = {"stages": [CANARY | {"soak": "1d"}], "windows": [window]}
    fleet = fleet_of(6, **rules)
    fleet.rollout = replace(fleet.rollout, is_emergency=True)
    fleet.run(2)
    assert fleet.rollout.state is RolloutState.DONE
    fleet = fleet_of(6, **rules)
    fleet.rollout = replace(fleet.rollout, is_emergency=True)
    fleet.devices["n00"].behaviour = Behaviour.FAILS
    fleet.run(2)
    assert fleet.rollout.state is RolloutState.PAUSED


def test_a_device_defers_a_version_for_so_long_at_most() -> None:
    fleet = fleet_of(1, consent={"by": "device", "latest": "1h"})
    device = fleet.devices["n00"]
    device.knows_offers = True
    fleet.step()
    row = fleet.rows["n00"]
    assert row.state is AssignmentState.OFFERED
    later = fleet.now + timedelta(minutes=30)
    fleet.rows["n00"] = replace(row, deferred=later, reason="machine in use")
    assert [wait.until for wait in fleet.step().waits] == [later]
    fleet.pass_time(timedelta(hours=1))
    fleet.report(device)
    fleet.step()
    assert fleet.rows["n00"].state is AssignmentState.ADMITTED


def test_superseding_takes_nodes_from_wherever_they_are_to_the_newest_version() -> None:
    fleet = fleet_of(4, stages=[CANARY, {"name": "all", "approval": "required"}])
    fleet.run(2)
    fleet.supersede()
    assert (fleet.rollout.base, fleet.rollout.target) == ("1", "3")
    assert fleet.desired("n00") == "2"
    assert fleet.desired("n01") == "1"
    fleet.supersede()
    fleet.run(2)
    assert fleet.desired("n00") == "4"
    fleet.rollout = with_approval(fleet.rollout, 1, "alice", fleet.now)
    fleet.run(2)
    assert {device.applied for device in fleet.devices.values()} == {"4"}


def test_a_rollback_after_superseding_brings_each_node_its_own_version() -> None:
    fleet = fleet_of(
        4,
        stages=[CANARY, {"name": "all", "approval": "required"}],
        failure={"action": "rollback"},
    )
    fleet.run(2)
    fleet.supersede()
    fleet.devices["n00"].behaviour = Behaviour.FAILS
    fleet.run(2)
    assert fleet.rollout.state is RolloutState.ROLLED_BACK
    found = {name: device.applied for name, device in fleet.devices.items()}
    assert found == {"n00": "2", "n01": "1", "n02": "1", "n03": "1"}
