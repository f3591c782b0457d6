"""What holds of rollouts over random fleets, reports, silences, clocks and operator actions."""

import contextlib
from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.core.rollout import Assignment, AssignmentState, RolloutState
from cloud.core.rollout_actions import (
    aborted,
    approved,
    paused,
    promoted,
    resumed,
    sent_back,
)
from cloud.core.rollout_plan import RolloutStep, is_approved, next_step, tolerated_failures
from cloud.core.rollout_stages import in_order, stages_of
from cloud.core.rollout_windows import opens_at
from cloud.errors import RolloutConflict
from tests.core.rollout_fleet import Behaviour, Fleet, FleetDevice

ADMITTED, FAILED, UPDATED = (
    AssignmentState.ADMITTED,
    AssignmentState.FAILED,
    AssignmentState.UPDATED,
)
WINDOW = {"schedule": "0 */2 * * *", "duration": "1h"}
RULES = st.fixed_dictionaries(
    {
        "stages": st.lists(
            st.fixed_dictionaries(
                {
                    "selector": st.sampled_from(["", "ring=canary", "ring!=canary"]),
                    "limit": st.sampled_from([1, 3, "30%", "100%"]),
                    "success": st.sampled_from(["50%", "100%"]),
                    "soak": st.sampled_from(["0s", "1m", "3m"]),
                    "approval": st.sampled_from(["none", "none", "required"]),
                }
            ),
            max_size=3,
        ).map(lambda stages: [{**one, "name": f"s{at}"} for at, one in enumerate(stages)]),
        "budget": st.sampled_from(
            [{}, {"maxUnavailable": 2}, {"by": "site", "maxUnavailable": 1}, {"by": "site"}]
        ),
        "failure": st.fixed_dictionaries(
            {
                "max": st.sampled_from([0, 1, "20%"]),
                "action": st.sampled_from(["pause", "rollback"]),
            }
        ),
        "deadline": st.sampled_from(["2m", "10m"]),
        "offline": st.sampled_from(["skip", "wait"]),
        "windows": st.sampled_from([[], [], [WINDOW]]),
    }
)
DEVICES = st.lists(
    st.fixed_dictionaries(
        {
            "site": st.sampled_from(["a", "b", "c"]),
            "ring": st.sampled_from(["canary", "other", "other"]),
        }
    ),
    min_size=1,
    max_size=9,
)
Labels = list[dict[str, str]]
Rules = dict[str, Any]
Act = tuple[Any, ...]
ACTS: st.SearchStrategy[Act] = st.one_of(
    st.tuples(st.just("report"), st.integers(0, 8)),
    st.tuples(st.just("report"), st.integers(0, 8)),
    st.tuples(st.just("send"), st.integers(0, 8)),
    st.tuples(st.just("behave"), st.integers(0, 8), st.sampled_from(list(Behaviour))),
    st.tuples(st.just("away"), st.integers(0, 8), st.booleans()),
    st.tuples(st.just("relabel"), st.integers(0, 8), st.sampled_from(["canary", "other"])),
    st.tuples(st.just("time"), st.sampled_from([5, 30, 100, 700, 4000])),
    st.tuples(st.just("all report"), st.just(0)),
    st.tuples(
        st.just("operator"),
        st.sampled_from(["pause", "resume", "approve", "promote", "abort", "rollback", "put"]),
    ),
)


def fleet_with(labels: Labels, rules: Rules) -> Fleet:
    fleet = Fleet([FleetDevice(f"n{at}", one, "1") for at, one in enumerate(labels)], **rules)
    for device in fleet.devices.values():
        fleet.report(device)
    return fleet


def act(fleet: Fleet, what: Act) -> None:
    """Do one thing that happens to a fleet."""
    devices = list(fleet.devices.values())
    kind, detail = what[0], what[1]
    device = devices[detail % len(devices)] if isinstance(detail, int) else devices[0]
    if kind == "report":
        fleet.report(device)
    elif kind == "send" and not device.is_away:
        fleet.send(device)
    elif kind == "behave":
        device.behaviour = what[2]
    elif kind == "away":
        device.is_away = what[2]
    elif kind == "relabel":
        device.labels = {**device.labels, "ring": what[2]}
    elif kind == "time":
        fleet.pass_time(timedelta(seconds=detail))
    elif kind == "all report":
        for one in devices:
            fleet.report(one)
    elif kind == "operator":
        operate(fleet, detail)


def operate(fleet: Fleet, action: str) -> None:
    """Do what an operator does; it is refused where the state forbids it."""
    rollout, now = fleet.rollout, fleet.now
    lost = sum(row.state is FAILED for row in fleet.rows.values())
    if action == "put":
        fleet.supersede()
        return
    with contextlib.suppress(RolloutConflict):
        match action:
            case "pause":
                fleet.rollout = paused(rollout, "held", now)
            case "resume":
                fleet.rollout, again = resumed(rollout, fleet.rows.values(), now)
                fleet.rows |= {row.node: row for row in again}
            case "approve":
                fleet.rollout = approved(rollout, "alice", now)
            case "promote":
                fleet.rollout = promoted(rollout, lost, "alice", now)
            case "abort":
                fleet.rollout = aborted(rollout, "", now)
            case _:
                fleet.rollout = sent_back(rollout, "", now)


def down_by_group(fleet: Fleet, rows: dict[str, Assignment]) -> Counter[str]:
    by = fleet.rollout.rules.budget.by
    return Counter(
        fleet.devices[name].labels.get(by, "") for name, row in rows.items() if row.is_unavailable
    )


def checked_step(fleet: Fleet) -> None:
    """Let the scheduler act once, and check that it kept all promises."""
    before, rollout = dict(fleet.rows), fleet.rollout
    names = list(fleet.devices)
    assert in_order("default", names) == in_order("default", names[::-1])
    again = next_step(rollout, fleet.nodes(), dict(reversed(before.items())), fleet.now)
    step = fleet.step()
    assert again.rollout == step.rollout
    assert list(again.changes.items()) == list(step.changes.items())
    admitted = [name for name, row in step.changes.items() if row and row.state is ADMITTED]
    returning = [
        name
        for name, row in step.changes.items()
        if row and row.state is AssignmentState.RETURNING and not before[name].is_unavailable
    ]
    check_budget(fleet, [*admitted, *returning])
    check_admissions(fleet, before, admitted)
    check_evidence(fleet, before, step)
    check_previous(fleet)
    assert not (rollout.state is RolloutState.PAUSED and admitted)


def check_budget(fleet: Fleet, moved: list[str]) -> None:
    rules, sizes = fleet.rollout.rules, Counter[str]()
    for device in fleet.devices.values():
        sizes[device.labels.get(rules.budget.by, "")] += 1
    down = down_by_group(fleet, fleet.rows)
    for name in moved:
        group = fleet.devices[name].labels.get(rules.budget.by, "")
        silent = [  # nodes on their way back that report no more
            one
            for one, row in fleet.rows.items()
            if row.state is AssignmentState.RETURNING
            and fleet.devices[one].labels.get(rules.budget.by, "") == group
        ]
        assert down[group] - len(silent) <= rules.budget.unavailable(sizes[group])
        if not silent:
            assert down[group] <= rules.budget.unavailable(sizes[group])


def check_admissions(fleet: Fleet, before: dict[str, Assignment], admitted: list[str]) -> None:
    rollout = fleet.rollout
    lost = [row for row in fleet.rows.values() if row.state is FAILED]
    if admitted and rollout.state is not RolloutState.DONE:
        assert len(lost) <= tolerated_failures(rollout, len(fleet.devices))
    stage_of = stages_of(rollout.rules, fleet.nodes(), before)
    for name in admitted:
        device = fleet.devices[name]
        assert device.seen(fleet.now).is_online
        assert opens_at(rollout.rules.windows, device.labels, fleet.now) is None
        if name not in before or before[name].state is not AssignmentState.SKIPPED:
            assert stage_of[name] <= rollout.stage
            assert is_approved(rollout, fleet.rows[name].stage)


def check_evidence(fleet: Fleet, before: dict[str, Assignment], step: RolloutStep) -> None:
    """Who counts as updated was shown healthy, after it was sent the version, for long enough."""
    for name, row in step.changes.items():
        if row is None or row.state is not UPDATED or before.get(name) == row:
            continue
        soak = fleet.rollout.rules.all_stages[row.stage].soak_time
        shown = [at for at, version in fleet.devices[name].shown if version == row.version]
        good = [at for at in shown if row.sent is not None and at > row.sent]
        assert good
        assert good[-1] - good[0] >= soak
        heard = fleet.devices[name].last_report
        assert row.healthy
        assert heard
        assert heard >= row.healthy + soak


def check_previous(fleet: Fleet) -> None:
    for name, row in fleet.rows.items():
        if row.state in {AssignmentState.RETURNING, AssignmentState.RETURNED}:
            assert row.version == row.previous
        if name in fleet.before and row.state is not AssignmentState.SKIPPED:
            assert row.previous == fleet.before[name]


@given(labels=DEVICES, rules=RULES, acts=st.lists(ACTS, max_size=30))
@settings(max_examples=80)
def test_every_step_keeps_the_promises(labels: Labels, rules: Rules, acts: list[Act]) -> None:
    fleet = fleet_with(labels, rules)
    checked_step(fleet)
    for one in acts:
        act(fleet, one)
        checked_step(fleet)


def agree(fleet: Fleet) -> None:
    """Let the operator agree to whatever the rollout waits for."""
    if fleet.rollout.state is RolloutState.WAITING_FOR_APPROVAL:
        operate(fleet, "approve")
    if fleet.rollout.state is RolloutState.PAUSED:
        operate(fleet, "promote" if fleet.rollout.has_failed else "resume")


def settle(fleet: Fleet) -> None:
    """Let a mended fleet go on until its rollout has ended, but not for ever."""
    for device in fleet.devices.values():
        device.behaviour, device.is_away = Behaviour.RUNS, False
    for _ in range(600):
        fleet.pass_time(timedelta(seconds=40))
        for device in fleet.devices.values():
            fleet.report(device)
        checked_step(fleet)
        agree(fleet)
        if not fleet.rollout.state.is_open:
            return
    raise AssertionError([fleet.rollout, fleet.rows, next_step_waits(fleet)])


def next_step_waits(fleet: Fleet) -> list[object]:
    return list(next_step(fleet.rollout, fleet.nodes(), fleet.rows, fleet.now).waits)


@given(labels=DEVICES, rules=RULES, acts=st.lists(ACTS, max_size=25))
@settings(max_examples=30)
def test_a_rollout_ends_once_the_fleet_is_well(
    labels: Labels, rules: Rules, acts: list[Act]
) -> None:
    fleet = fleet_with(labels, rules)
    for one in acts:
        act(fleet, one)
        checked_step(fleet)
    settle(fleet)
    if fleet.rollout.state is RolloutState.ROLLED_BACK:
        check_previous(fleet)
        states = fleet.states().values()
        assert not {ADMITTED, AssignmentState.SENT, UPDATED, FAILED} & set(states)


@given(labels=DEVICES, rules=RULES, acts=st.lists(ACTS, max_size=25))
@settings(max_examples=30)
def test_a_rollout_that_waits_names_a_node_or_why_it_is_paused(
    labels: Labels, rules: Rules, acts: list[Act]
) -> None:
    fleet = fleet_with(labels, rules)
    for one in acts:
        act(fleet, one)
        checked_step(fleet)
    if fleet.rollout.state.is_open:
        assert next_step_waits(fleet) or fleet.rollout.cause


@given(labels=DEVICES, rules=RULES, acts=st.lists(ACTS, max_size=25))
@settings(max_examples=30)
def test_superseding_at_any_point_converges(labels: Labels, rules: Rules, acts: list[Act]) -> None:
    rules = {**rules, "failure": {"max": "100%"}}
    fleet = fleet_with(labels, rules)
    for one in acts:
        act(fleet, one)
        checked_step(fleet)
    fleet.supersede()
    settle(fleet)
    for _ in range(400):  # nodes that were skipped get it afterwards
        if all(fleet.desired(name) == fleet.rollout.target for name in fleet.devices):
            break
        fleet.pass_time(timedelta(seconds=40))
        for device in fleet.devices.values():
            fleet.report(device)
        checked_step(fleet)
    assert {fleet.desired(name) for name in fleet.devices} == {fleet.rollout.target}
