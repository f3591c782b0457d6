"""Probes of running instances, by Kubernetes' rules: `ProbeTrack` is pure, `Prober` runs them.

Until a startup probe has succeeded no other is carried out; where it or a liveness probe fails as
often as its threshold the instance has to be started again; readiness follows its own.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Mapping

from edgesync_agent.runtime import FailureReason, Instance
from edgesync_agent.situation import Health
from edgesync_agent.spec import ProbeDefinition, ServiceDefinition

STARTUP, LIVENESS, READINESS = "startup", "liveness", "readiness"
LAPSES = {STARTUP: FailureReason.STARTUP, LIVENESS: FailureReason.LIVENESS}
CHECKS_AT_ONCE = 4

Check = Callable[[Instance, ProbeDefinition], str]
"""Carries out one check; empty for success, else what is wrong."""


class ProbeTrack:
    """The results of the probes of one run of an instance; *began* is when it started."""

    def __init__(self, service: ServiceDefinition, began: float) -> None:
        self.probes = probes_of(service)
        self.began = began
        self.due = {kind: began + probe.initial_delay for kind, probe in self.probes.items()}
        self.running: set[str] = set()  # checks that are being carried out
        self.row: dict[str, int] = {}  # results alike in a row; failures count below 0
        self.has_started = STARTUP not in self.probes
        self.ready_since = None if {STARTUP, READINESS} & set(self.probes) else began
        self.lapse = self.message = ""

    def next_due(self) -> tuple[str, float] | None:
        """Which check comes next, and when; None where none does."""
        open_ones = [
            (kind, moment)
            for kind, moment in self.due.items()
            if kind not in self.running and self.is_wanted(kind)
        ]
        return min(open_ones, key=lambda one: one[1]) if open_ones else None

    def is_wanted(self, kind: str) -> bool:
        """Whether checks of that kind are carried out now."""
        if self.lapse:
            return False
        return not self.has_started if kind == STARTUP else self.has_started

    def begin(self, kind: str) -> None:
        """A check is being carried out; `record` has to follow."""
        self.running.add(kind)

    def record(self, kind: str, failure: str, now: float) -> None:
        """Take in the result of a check; *failure* is empty for success."""
        self.running.discard(kind)
        probe = self.probes[kind]
        self.due[kind] = now + probe.period
        if not self.is_wanted(kind):
            return
        before = self.row.get(kind, 0)
        row = self.row[kind] = min(before, 0) - 1 if failure else max(before, 0) + 1
        if failure:
            self.message = failure
        if row == -probe.failure_threshold:
            self._has_failed(kind, failure)
        elif row == probe.success_threshold:
            self._has_succeeded(kind, now)

    def _has_failed(self, kind: str, failure: str) -> None:
        if kind == READINESS:
            self.ready_since = None
        else:
            self.lapse = LAPSES[kind]
            self.message = f"failed its {kind} probe: {failure}"

    def _has_succeeded(self, kind: str, now: float) -> None:
        if kind == STARTUP:
            self.has_started = True
            for other, probe in self.probes.items():
                self.due[other] = max(now, self.began + probe.initial_delay)
        is_last = kind == READINESS or (kind == STARTUP and READINESS not in self.probes)
        if is_last and self.ready_since is None:
            self.ready_since = now
            self.message = ""

    def health(self) -> Health:
        """As `reconcile` looks at it."""
        return Health(self.ready_since, self.lapse, self.message)


def probes_of(service: ServiceDefinition) -> dict[str, ProbeDefinition]:
    """The probes of a service, by kind."""
    given = (
        (STARTUP, service.startup),
        (LIVENESS, service.liveness),
        (READINESS, service.readiness),
    )
    return {kind: probe for kind, probe in given if probe is not None}


class Prober:
    """Carries out the checks of all instances that run, in threads of its own; thread-safe.

    *changed* is called when the health of an instance is another one. `follow` sets what runs.
    """

    def __init__(
        self, changed: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.changed = changed
        self.clock = clock
        self.lock = threading.Condition()
        self.tracks: dict[tuple[str, float], tuple[ProbeTrack, Instance, Check]] = {}
        self.is_ended = False
        self.active = 0  # checks that are being carried out
        self.thread = threading.Thread(target=self._run, name="probes", daemon=True)
        self.thread.start()

    def follow(
        self, running: Mapping[str, tuple[Instance, ServiceDefinition, Check]]
    ) -> Mapping[str, Health]:
        """Look after these instances, by key, and no others; what is known of their health.

        A version may change the probes of an instance that goes on: what they find begins anew.
        """
        with self.lock:
            tracks, health = {}, {}
            for key, (instance, service, check) in running.items():
                run = key, instance.started
                known = self.tracks.get(run)
                is_same = known is not None and known[0].probes == probes_of(service)
                track = known[0] if known and is_same else ProbeTrack(service, self.clock())
                tracks[run] = track, instance, check
                health[key] = track.health()
            self.tracks = tracks
            self.lock.notify_all()
            return health

    def close(self) -> None:
        """End the threads; a check under way is not waited for."""
        with self.lock:
            self.is_ended = True
            self.lock.notify_all()

    def _run(self) -> None:
        with self.lock:
            while not self.is_ended:
                self.lock.wait(self._begin_due())

    def _begin_due(self) -> float | None:
        """Begin the checks that are due; seconds until the next one, None without one."""
        now, waits = self.clock(), []
        for run, (track, instance, check) in list(self.tracks.items()):
            found = track.next_due()
            if found is not None and found[1] <= now and self.active < CHECKS_AT_ONCE:
                self.active += 1
                track.begin(found[0])
                arguments = run, track, found[0], instance, check
                threading.Thread(target=self._carry_out, args=arguments, daemon=True).start()
                found = track.next_due()
            if found is not None and (found[1] > now or self.active < CHECKS_AT_ONCE):
                waits.append(max(found[1] - now, 0.0))
        return min(waits) if waits else None

    def _carry_out(
        self,
        run: tuple[str, float],
        track: ProbeTrack,
        kind: str,
        instance: Instance,
        check: Check,
    ) -> None:
        try:
            failure = check(instance, track.probes[kind])
        except Exception as error:  # noqa: BLE001  # a defect of one check must not end the others
            failure = f"cannot be checked: {error!r}"
        is_other = False
        with self.lock:
            self.active -= 1
            self.lock.notify_all()
            known = self.tracks.get(run)
            if known is not None and known[0] is track:
                before = track.health()
                track.record(kind, failure, self.clock())
                is_other = track.health() != before
        if is_other:
            self.changed()
