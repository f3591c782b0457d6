"""What the agent decides for one app, beside a runtime that is a model."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync_agent.reconcile import can_run_twice, reconcile
from edgesync_agent.runtime import (
    EXITED,
    LIVE,
    RUNNING,
    TRIAL,
    Create,
    FailureReason,
    Fetch,
    Remove,
    Start,
    Stop,
)
from edgesync_agent.situation import (
    AppMemory,
    Health,
    live_slots,
    spec_digest,
)
from edgesync_agent.spec import AppDefinition
from tests.edgesync_agent.world import AgentWorld, app


@pytest.fixture
def world() -> AgentWorld:
    return AgentWorld()


def installed(world: AgentWorld, one: AppDefinition) -> None:
    world.want(one)
    world.settle()
    assert world.memory.good == one.version
    world.done.clear()


def test_an_app_is_fetched_created_and_started(world: AgentWorld) -> None:
    installed_app = app("1", {"name": "a"}, {"name": "b", "image": "j:1"})
    world.want(installed_app)
    world.settle()
    assert world.running() == {"i:1", "j:1"}
    assert world.memory == AppMemory(live="1", good="1")
    kinds = [type(step).__name__ for step in world.done]
    assert kinds == ["Fetch", "Create", "Create", "SwitchFiles", "Start", "Start"]


def test_a_service_that_did_not_change_is_not_touched(world: AgentWorld) -> None:
    installed(world, app("1", {"name": "a"}, {"name": "b", "image": "j:1"}))
    kept = next(one for one in world.instances.values() if one.slot.service == "a")
    world.want(app("2", {"name": "a"}, {"name": "b", "image": "j:2"}))
    world.settle()
    assert world.running() == {"i:1", "j:2"}
    assert kept in world.instances.values()
    assert world.memory.good == "2"


def test_a_config_alone_switches_files_and_restarts_nothing(world: AgentWorld) -> None:
    volume = {"name": "v", "config": {"name": "c", "version": "1"}}
    mounts = [{"name": "v", "mountPath": "/c"}]
    installed(world, app("1", {"name": "a", "volumeMounts": mounts}, volumes=[volume]))
    volume = {"name": "v", "config": {"name": "c", "version": "2"}}
    world.want(app("2", {"name": "a", "volumeMounts": mounts}, volumes=[volume]))
    world.settle()
    assert [type(step).__name__ for step in world.done] == ["Fetch", "SwitchFiles"]
    assert (world.memory.good, world.files) == ("2", "2")


def test_a_file_mounted_by_its_path_needs_a_new_instance() -> None:
    def digest(version: str) -> str:
        volume = {"name": "v", "config": {"name": "c", "version": version}}
        mounts = [{"name": "v", "mountPath": "/c/x", "subPath": "x"}]
        one = app("1", {"name": "a", "volumeMounts": mounts}, volumes=[volume])
        return spec_digest(one, one.services[0])

    assert digest("1") != digest("2")


def test_what_cannot_be_fetched_leaves_the_old_version_running(world: AgentWorld) -> None:
    installed(world, app("1", {"name": "a"}))
    world.unreachable = {"i:2"}
    world.want(app("2", {"name": "a", "image": "i:2"}))
    for _ in range(50):
        world.turn()
        world.now += 5
    assert world.running() == {"i:1"}
    assert set(world.steps(Start, Stop, Remove, Create)) == set()
    assert len(world.steps(Fetch)) > 2  # with pauses
    world.unreachable.clear()
    world.settle()
    assert world.running() == {"i:2"}


def test_a_trial_that_fails_never_stops_the_old_one(world: AgentWorld) -> None:
    installed(world, app("1", {"name": "a"}))
    world.behaviour["i:2"] = "crash"
    world.want(app("2", {"name": "a", "image": "i:2"}))
    world.settle()
    assert world.running() == {"i:1"}
    assert all(
        step.instance.slot.stage == TRIAL for step in world.done if isinstance(step, Stop | Remove)
    )
    failure = world.memory.failure
    assert failure is not None
    assert (world.memory.failed, failure.reason, failure.exit_code) == ("2", FailureReason.EXIT, 1)
    world.done.clear()
    for _ in range(30):
        world.turn()
        world.now += 60
    assert world.done == []  # not tried again


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("crash", FailureReason.EXIT),
        ("unready", FailureReason.READINESS),
        ("no-start", FailureReason.START),
    ],
)
@pytest.mark.parametrize("port", [{}, {"hostNetwork": True}])
def test_the_whole_app_goes_back_with_the_cause(
    world: AgentWorld, how: str, reason: str, port: dict[str, Any]
) -> None:
    ready = {"readinessProbe": {"httpGet": {"port": 80}}}
    installed(world, app("1", {"name": "a", **port, **ready}, {"name": "b", "image": "j:1"}))
    world.behaviour["i:2"] = how
    changed = {"name": "a", "image": "i:2", **port, **ready}
    world.want(app("2", changed, {"name": "b", "image": "j:2"}, progressDeadlineSeconds=30))
    world.settle()
    assert world.running() == {"i:1", "j:1"}
    assert world.memory.failure
    assert (world.memory.live, world.memory.good, world.memory.failed) == ("1", "1", "2")
    assert world.memory.failure.reason == reason
    assert world.memory.failure.service == "a"
    assert world.files == "1"
    assert len(world.instances) == 2
    if how == "unready":
        assert world.memory.failure.seconds == 30
        assert "HTTP 500" in world.memory.failure.message


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_what_was_stopped_for_a_version_that_fails_is_started_again(
    world: AgentWorld, policy: str
) -> None:
    rule = {"restart": {"policy": policy}, "hostNetwork": True}
    installed(world, app("1", {"name": "a", **rule}))
    (before,) = world.instances.values()
    world.behaviour["i:2"] = "crash"
    world.want(app("2", {"name": "a", "image": "i:2", **rule}))
    for _ in range(100):  # the agent is killed all the time
        world.turn(crash_after=1)
        world.now += 15
        if world.memory.failed:
            break
    world.memory = replace(world.memory, failed="2", live="1")
    world.settle()
    (after,) = world.instances.values()
    assert (after.key, after.state) == (before.key, RUNNING)
    assert world.attempts[after.slot].count == 0


def test_a_version_that_failed_is_tried_again_when_something_changes(world: AgentWorld) -> None:
    installed(world, app("1", {"name": "a"}))
    world.behaviour["i:2"] = "crash"
    world.want(app("2", {"name": "a", "image": "i:2"}))
    world.settle()
    world.behaviour.clear()
    world.want(app("3", {"name": "a", "image": "i:2"}))
    world.settle()
    assert (world.memory.good, world.memory.failed, world.memory.failure) == ("3", "", None)
    assert world.running() == {"i:2"}


def test_the_first_version_is_tried_for_ever(world: AgentWorld) -> None:
    world.behaviour["i:1"] = "crash"
    world.want(app("1", {"name": "a"}))
    for _ in range(200):
        world.turn()
        world.now += 10
    assert world.memory.failure
    assert world.memory.live == "1"
    starts = len(world.steps(Start))
    assert 5 < starts < 20  # with pauses up to 5 min
    world.behaviour.clear()
    world.now += 600
    world.settle()
    assert world.memory == AppMemory(live="1", good="1")


def test_what_was_removed_by_hand_comes_back_and_is_named(world: AgentWorld) -> None:
    installed(world, app("1", {"name": "a"}))
    world.instances.clear()
    plan = world.turn()
    assert plan.drift == ["a"]
    world.settle()
    assert world.running() == {"i:1"}


@pytest.mark.parametrize(
    ("policy", "how", "is_started"),
    [
        ("Always", "done", True),
        ("OnFailure", "done", False),
        ("OnFailure", "crash", True),
        ("Never", "crash", False),
    ],
)
def test_the_restart_policy_decides(
    world: AgentWorld, policy: str, how: str, *, is_started: bool
) -> None:
    installed(world, app("1", {"name": "a", "restart": {"policy": policy}}))
    world.behaviour["i:1"] = how
    for _ in range(5):
        world.turn()
        world.now += 30
    assert bool(world.steps(Start)) is is_started


def test_pauses_between_starts_grow_by_the_spec(world: AgentWorld) -> None:
    backoff = {"min": 2 * 10**9, "max": 8 * 10**9, "factor": 2.0}
    installed(world, app("1", {"name": "a", "restart": {"backoff": backoff}}))
    world.behaviour["i:1"] = "crash"
    starts = []
    for _ in range(400):
        plan = world.turn()
        starts += [world.now for step in plan.steps if isinstance(step, Start)]
        world.now += 0.25
    pauses = [round(after - before) for before, after in itertools.pairwise(starts)]
    assert pauses[:5] == [4, 8, 8, 8, 8]


def test_a_probe_that_fails_has_the_instance_started_again(world: AgentWorld) -> None:
    installed(world, app("1", {"name": "a"}))
    situation = world.situation()
    (one,) = world.instances.values()
    lapse = Health(lapse=FailureReason.LIVENESS, message="failed its liveness probe: HTTP 500")
    plan = reconcile(replace(situation, health={one.key: lapse}))
    assert plan.steps == [Stop(one)]
    assert plan.attempts[one.slot].reason == FailureReason.LIVENESS
    world.attempts = dict(plan.attempts)
    world.obey(plan.steps[0])
    world.settle()
    assert world.running() == {"i:1"}


def test_init_services_run_in_order_before_the_services_and_once(world: AgentWorld) -> None:
    world.behaviour = {"init:1": "done", "init:2": "done"}
    init = [{"name": "x", "image": "init:1"}, {"name": "y", "image": "init:2"}]
    world.want(app("1", {"name": "a"}, initServices=init))
    world.settle()
    started = [world.images[s.instance.slot] for s in world.done if isinstance(s, Start)]
    assert started == ["init:1", "init:2", "i:1"]
    assert len(world.instances) == 1
    world.done.clear()
    world.want(app("2", {"name": "a"}, initServices=init, description="new"))
    world.settle()
    assert world.steps(Start) == []


@pytest.mark.parametrize("init", [[], [{"name": "x", "image": "init:1"}]], ids=["trial", "init"])
def test_what_prepares_a_version_goes_on_when_the_agent_starts_again(
    world: AgentWorld, init: list[dict[str, Any]]
) -> None:
    installed(world, app("1", {"name": "a"}))
    world.want(app("2", {"name": "a", "image": "i:2"}, initServices=init))
    for _ in range(4):
        world.turn()
    (preparing,) = (one for one in world.instances.values() if one.slot.stage != LIVE)
    assert preparing.state == RUNNING
    world.lose_memory()
    world.here.clear()  # what is here is asked of the runtime anew
    world.done.clear()
    world.turn()
    assert world.steps(Stop, Remove) == []
    assert preparing in world.instances.values()


def test_an_init_service_that_fails_keeps_the_old_version(world: AgentWorld) -> None:
    installed(world, app("1", {"name": "a"}))
    world.behaviour = {"init:1": "crash"}
    init = [{"name": "x", "image": "init:1"}]
    world.want(app("2", {"name": "a", "image": "i:2"}, initServices=init))
    world.settle()
    assert world.running() == {"i:1"}
    assert world.memory.failure
    assert world.memory.failure.service == "x"


def test_a_job_runs_to_its_end_as_often_as_its_spec_has(world: AgentWorld) -> None:
    world.behaviour = {"i:1": "done"}
    job = {"completions": 5, "parallelism": 2}
    world.want(app("1", {"name": "a"}, workload="job", jobConfig=job))
    world.settle()
    assert len(world.steps(Start)) == 5
    assert world.memory.good == "1"
    assert len(world.memory.finished) == 5
    world.instances.clear()
    world.settle()
    assert len(world.steps(Start)) == 5


def test_a_job_that_fails_too_often_is_given_up(world: AgentWorld) -> None:
    world.behaviour = {"i:1": "crash"}
    world.want(app("1", {"name": "a"}, workload="job", jobConfig={"backoffLimit": 2}))
    world.settle()
    assert len(world.steps(Start)) == 3
    assert world.memory.failure


def test_an_app_that_is_to_go_goes_the_newest_first(world: AgentWorld) -> None:
    installed(world, app("1", {"name": "a"}, {"name": "b", "image": "j:1"}))
    world.want(None)
    plan = world.turn()
    assert plan.memory is None
    stopped = [s.instance.slot.service for s in world.done if isinstance(s, Stop)]
    assert stopped == ["b", "a"]
    assert world.instances == {}
    assert world.is_forgotten


def test_a_stateful_service_never_runs_twice() -> None:
    volumes = [{"name": "d", "hostPath": {"path": "/data"}}]
    mounts = [{"name": "d", "mountPath": "/data"}]
    one = app("1", {"name": "a", "volumeMounts": mounts}, volumes=volumes)
    assert not can_run_twice(one, one.services[0])
    assert can_run_twice(app("1"), app("1", {"name": "a"}).services[0])
    assert not can_run_twice(app("1", workload="statefulset"), app("1", {"name": "a"}).services[0])


BEHAVIOURS = st.sampled_from(["ok", "ok", "crash", "unready", "no-start"])
SERVICES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["i:1", "i:2", "i:3"]),
        st.sampled_from([{}, {"hostNetwork": True}, {"replica": 2}]),
        st.sampled_from(["Always", "OnFailure", "Never"]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one[0],
)


@st.composite
def versions(draw: Callable[[Any], Any]) -> list[AppDefinition]:
    found = []
    for number in range(draw(st.integers(1, 4))):
        services = [
            {
                "name": name,
                "image": image,
                "restart": {"policy": policy},
                "readinessProbe": {"tcpSocket": {"port": 1}},
                **fields,
            }
            for name, image, fields, policy in draw(SERVICES)
        ]
        found.append(app(str(number), *services, progressDeadlineSeconds=60))
    return found


ACTS = ["turn", "turn", "crash", "next", "remove", "end"]


@given(
    versions(),
    st.dictionaries(st.sampled_from(["i:1", "i:2", "i:3"]), BEHAVIOURS),
    st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 3)), max_size=40),
)
def test_obeying_the_steps_converges_whatever_happened_before(
    apps: list[AppDefinition], behaviour: dict[str, str], acts: list[tuple[str, int]]
) -> None:
    world, coming = AgentWorld(), list(apps)
    world.behaviour = behaviour
    world.want(coming.pop(0))
    for act, number in acts:
        world.now += 1
        if act == "next" and coming:
            world.want(coming.pop(0))
        else:
            happen(world, act, number)
    if coming:
        world.want(coming[-1])
    world.lose_memory()
    for _ in range(120):
        world.turn()
        world.now += 20
    assert_converged(world, behaviour)


def happen(world: AgentWorld, act: str, number: int) -> None:
    slots = sorted(world.instances)
    if act == "turn":
        world.turn()
    elif act == "crash":
        world.turn(crash_after=number)
    elif slots:
        slot = slots[number % len(slots)]
        if act == "remove":
            del world.instances[slot]
        elif act == "end" and world.instances[slot].state == RUNNING:
            ended = replace(world.instances[slot], state=EXITED, exit_code=0)
            world.instances[slot] = ended


def assert_converged(world: AgentWorld, behaviour: dict[str, str]) -> None:
    assert world.desired is not None
    desired, memory = world.desired, world.memory
    if all(behaviour.get(one.image, "ok") == "ok" for one in desired.services):
        assert memory.good == desired.version
    elif memory.good and memory.good != desired.version:
        assert memory.failed == desired.version
        assert memory.live == memory.good
    live = world.releases[memory.live]
    assert world.files == live.version
    if memory.live != memory.good:
        return
    assert set(world.instances) == set(live_slots(live))
    for slot, instance in world.instances.items():
        service = next(one for one in live.services if one.name == slot.service)
        if behaviour.get(service.image, "ok") == "ok" and service.restart.policy == "Always":
            assert instance.state == RUNNING
