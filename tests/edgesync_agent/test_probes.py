"""Probes by Kubernetes' rules."""

import threading
from typing import Any

import pytest

from edgesync_agent.parsing import read_app
from edgesync_agent.probes import LIVENESS, READINESS, STARTUP, Prober, ProbeTrack
from edgesync_agent.runtime import LIVE, RUNNING, FailureReason, Instance, Slot
from edgesync_agent.spec import ProbeDefinition, ServiceDefinition
from tests.edgesync_agent.test_containers import wait_for


def service(**probes: dict[str, Any]) -> ServiceDefinition:
    fields = {name: {"tcpSocket": {"port": 1}, **probe} for name, probe in probes.items()}
    body = {"name": "a", "version": "1", "services": [{"name": "s", "image": "i:1", **fields}]}
    return read_app(body).services[0]


def test_a_service_without_probes_is_ready_at_once() -> None:
    track = ProbeTrack(service(), 5.0)
    assert track.health().ready_since == 5.0
    assert track.next_due() is None


def test_readiness_takes_as_many_in_a_row_as_the_spec_has() -> None:
    probe = {"successThreshold": 2, "failureThreshold": 2, "initialDelaySeconds": 3}
    track = ProbeTrack(service(readinessProbe=probe), 0.0)
    assert track.next_due() == (READINESS, 3.0)
    ready = []
    for moment, failure in enumerate(["", "no", "", "", "no", "", "no", "no", ""]):
        track.begin(READINESS)
        assert track.next_due() is None  # one at a time
        track.record(READINESS, failure, float(moment))
        ready.append(track.health().ready_since)
    assert ready == [None, None, None, 3.0, 3.0, 3.0, 3.0, None, None]
    assert not track.health().lapse


def test_nothing_else_is_checked_before_the_service_has_started() -> None:
    track = ProbeTrack(
        service(
            startupProbe={"periodSeconds": 1, "failureThreshold": 3},
            livenessProbe={},
            readinessProbe={},
        ),
        0.0,
    )
    for moment in (0.0, 1.0):
        assert track.next_due() == (STARTUP, moment)
        track.begin(STARTUP)
        track.record(STARTUP, "no", moment)
    track.begin(STARTUP)
    track.record(STARTUP, "", 2.0)
    assert track.next_due() in {(LIVENESS, 2.0), (READINESS, 2.0)}
    assert track.health().ready_since is None


@pytest.mark.parametrize(
    ("kind", "field", "reason"),
    [
        (STARTUP, "startupProbe", FailureReason.STARTUP),
        (LIVENESS, "livenessProbe", FailureReason.LIVENESS),
    ],
)
def test_an_instance_that_fails_too_often_has_to_be_started_again(
    kind: str, field: str, reason: str
) -> None:
    track = ProbeTrack(service(**{field: {}}), 0.0)
    for moment in range(3):
        assert not track.health().lapse
        track.begin(kind)
        track.record(kind, "HTTP 500", float(moment))
    health = track.health()
    assert (health.lapse, health.message) == (reason, f"failed its {kind} probe: HTTP 500")
    assert track.next_due() is None


def test_a_startup_probe_alone_makes_a_service_ready() -> None:
    track = ProbeTrack(service(startupProbe={}), 0.0)
    assert track.health().ready_since is None
    track.begin(STARTUP)
    track.record(STARTUP, "", 4.0)
    assert track.health().ready_since == 4.0


def instance(number: int) -> Instance:
    return Instance(f"k{number}", Slot("a", "s", number, LIVE, "d"), "1", RUNNING, started=1.0)


def test_checks_of_many_instances_are_carried_out_beside_each_other() -> None:
    changed, gate = threading.Event(), threading.Barrier(3, timeout=10)
    prober = Prober(changed.set)
    one = service(readinessProbe={})

    def check(own: Instance, _: object) -> str:
        gate.wait()  # three at a time, or none
        return "no" if own.slot.replica == 2 else ""

    running = {one_.key: (one_, one, check) for one_ in map(instance, range(3))}
    prober.follow(running)
    ready = wait_for(
        lambda: (
            [h.ready_since is not None for h in prober.follow(running).values()].count(True) == 2
        )
    )
    assert ready
    assert changed.is_set()
    assert prober.follow({}) == {}
    prober.close()


def test_a_check_with_a_defect_is_a_failure_and_ends_no_other() -> None:
    prober = Prober(lambda: None)
    one = service(readinessProbe={"periodSeconds": 1})

    def check(_: Instance, __: object) -> str:
        raise ZeroDivisionError

    running = {"k0": (instance(0), one, check)}
    prober.follow(running)
    wait_for(lambda: "ZeroDivisionError" in prober.follow(running)["k0"].message)
    prober.close()


def test_probes_that_a_version_changes_begin_anew_on_an_instance_that_goes_on() -> None:
    prober = Prober(lambda: None)
    asked = threading.Event()
    goes_on = threading.Event()

    def check(_: Instance, probe: ProbeDefinition) -> str:
        if probe.port == 1:
            asked.set()
            goes_on.wait(10)
        return "" if probe.port == 1 else "refused"

    def running(port: int) -> dict[str, Any]:
        probe = {"tcpSocket": {"port": port}, "periodSeconds": 1}
        return {"k0": (instance(0), service(readinessProbe=probe), check)}

    prober.follow(running(1))
    assert asked.wait(10)
    prober.follow(running(2))
    goes_on.set()  # what the old probe found does not count
    wait_for(lambda: prober.follow(running(2))["k0"].message == "refused")
    assert prober.follow(running(2))["k0"].ready_since is None
    wait_for(lambda: prober.follow(running(1))["k0"].ready_since is not None)
    prober.close()
