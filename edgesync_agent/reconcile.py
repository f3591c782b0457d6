"""Decides for one app what to do next: pure, level-triggered, resumable at any moment.

`reconcile` compares what is desired with what there is. Its caller keeps the plan's memory on disk,
carries out the steps in order, looks again and asks again. A new version goes through these phases,
each of them seen from what there is, so that a crash resumes it:

    fetch     everything of it is brought here; the old version runs
    prepare   its init services run; one changed service is tried beside the old one, without ports
    verify    it is live: what changed was replaced, what it replaced is stopped and stays
    steady    it was healthy in time and is the last good version; what it replaced is removed

Where it fails in prepare or verify the last good version is live again, as a whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

from edgesync_agent.attempts import charged, counted, has_succeeded, run_of, start_due
from edgesync_agent.runtime import (
    CREATED,
    EXITED,
    LIVE,
    RESTARTING,
    RUNNING,
    TRIAL,
    Create,
    Fetch,
    Forget,
    Instance,
    Remove,
    Slot,
    Start,
    Step,
    Stop,
    SwitchFiles,
)
from edgesync_agent.situation import (
    AppPlan,
    Attempts,
    Failure,
    FetchState,
    Situation,
    init_slots,
    live_slots,
    slot_key,
    spec_digest,
)
from edgesync_agent.spec import JOB, NATIVE, AppDefinition, ServiceDefinition
from edgesync_agent.verdict import Judge, restart_rule

STEADY, VERIFY, PREPARE, FETCH = "steady", "verify", "prepare", "fetch"


def reconcile(situation: Situation) -> AppPlan:
    """Decide the next steps of one app; none where all is as it should be."""
    if situation.desired is None:
        return _removal(situation)
    decision = _Decision(situation)
    decision.make(situation.desired)
    return decision.plan()


def can_run_twice(app: AppDefinition, service: ServiceDefinition) -> bool:
    """Whether a trial of *service* may run beside the old one: nothing is shared that is written.

    One that needs the node's network, a device or all rights, or writes to a path of the node could
    be in the way of the other, and so could a host process. A `statefulset` never runs twice
    (Kubernetes).
    """
    if (
        app.mode == NATIVE
        or app.workload == "statefulset"
        or service.host_network
        or service.devices
    ):
        return False
    writes = any(
        app.volume(mount.volume).kind == "hostPath" and not mount.read_only
        for mount in service.mounts
    )
    return not (writes or service.privileged)


def _removal(situation: Situation) -> AppPlan:
    """Take the app away: what started last goes first, then what is left of it."""
    instances = _newest_first(situation.instances)
    steps: list[Step] = [Stop(one) for one in instances if one.state in {RUNNING, RESTARTING}]
    steps += [Remove(one) for one in instances]
    return AppPlan(None, [*steps, Forget(situation.name)], {}, "", situation.now)


def _newest_first(instances: Sequence[Instance]) -> Sequence[Instance]:
    return sorted(instances, key=lambda one: one.created, reverse=True)


class _Decision:
    """One decision being made; `make` makes it, `plan` is the result."""

    def __init__(self, situation: Situation) -> None:
        self.it = situation
        self.now = situation.now
        self.memory = situation.memory
        self.steps: list[Step] = []
        self.by_slot = {one.slot: one for one in situation.instances}
        self.attempts = dict(situation.attempts)
        for slot, instance in self.by_slot.items():
            if slot_key(slot) not in self.memory.held:
                self.attempts[slot] = counted(self.attempts.get(slot), instance, self.now)
        self.preparing: list[Slot] = []  # instances that are not live and are to stay
        self.known: set[Slot] = set(self.by_slot)  # slots whose failures still matter
        self.phase, self.since = situation.phase, situation.since
        self.wakes: list[float] = []
        self.notes: list[str] = []
        self.drift: list[str] = []

    def plan(self) -> AppPlan:
        """The decision."""
        attempts = {slot: one for slot, one in self.attempts.items() if slot in self.known}
        keys = {slot_key(slot) for slot in self.by_slot}
        held = tuple(key for key in self.memory.held if key in keys)
        return AppPlan(
            memory=replace(self.memory, held=held),
            steps=self.steps,
            attempts=attempts,
            phase=self.phase,
            since=self.since,
            wake=min(self.wakes) if self.wakes else None,
            notes=self.notes,
            drift=self.drift,
        )

    def make(self, desired: AppDefinition) -> None:
        """Find the version to be live, prepare it if it is another one, and keep what is live."""
        if self.memory.failed and self.memory.failed != desired.version:
            self.memory = replace(self.memory, failed="", failure=None)
        is_given_up = self.memory.failed == desired.version
        target = self.memory.good if is_given_up else desired.version
        if target != self.memory.live and self._is_prepared(target):
            self.notes.append(f"version {target} goes live")
            self.memory = replace(self.memory, live=target)
        if target == self.memory.live:
            self._enter(STEADY if self.memory.good == target else VERIFY, target)
        if self.memory.live:
            if self.memory.live != self.memory.good:
                self._verify(self._app(self.memory.live))
            self._keep(self._app(self.memory.live))

    def _app(self, version: str) -> AppDefinition:
        desired = self.it.desired
        if desired is not None and desired.version == version:
            return desired
        return self.it.releases[version]

    def _enter(self, phase: str, version: str) -> None:
        if self.phase != f"{phase} {version}":
            self.phase, self.since = f"{phase} {version}", self.now

    def _judge(self) -> Judge:
        return Judge(
            self.now,
            self.since,
            self.it.settle,
            self.by_slot,
            self.it.health,
            self.attempts,
            self.memory,
            self.wakes,
        )

    # before a version is live

    def _is_prepared(self, target: str) -> bool:
        """Fetch and prepare it; return whether there is nothing left to do before it is live."""
        if target == self.memory.good:
            return True  # it was live before: back at once
        app = self._app(target)
        trial = self._trial_of(app)
        if not self._is_here(target):
            self._enter(FETCH, target)
            # Began before the agent was started again: it goes on.
            self.preparing += [*init_slots(app), *([trial] if trial else ())]
            return False
        self._enter(PREPARE, target)
        for slot in init_slots(app):
            if slot_key(slot) not in self.memory.finished:
                self._run_to_end(app, slot)
                return False
        return trial is None or self._is_tried(app, trial)

    def _is_here(self, version: str) -> bool:
        fetch = self.it.fetches.get(version, FetchState())
        if not fetch.is_here and not fetch.is_running:
            if self.now >= fetch.not_before:
                self.steps.append(Fetch(self.it.name, version))
            else:
                self.wakes.append(fetch.not_before)
        return fetch.is_here

    def _run_to_end(self, app: AppDefinition, slot: Slot) -> None:
        self.preparing.append(slot)
        instance = self.by_slot.get(slot)
        if instance is not None and has_succeeded(instance):
            self._finish(slot)
            return
        self._drive(app, slot)
        self._give_up_if_failed(app, slot)

    def _trial_of(self, app: AppDefinition) -> Slot | None:
        """The trial that shows whether the app can be replaced; None where there is none.

        One service has changed, and two of it can run side by side without harm.
        """
        if not self.memory.live or self.memory.live != self.memory.good or app.workload == JOB:
            return None
        before = {(one.service, one.digest) for one in live_slots(self._app(self.memory.live))}
        changed = [
            service
            for service in app.services
            if service.replicas and (service.name, spec_digest(app, service)) not in before
        ]
        if len(changed) != 1 or not can_run_twice(app, changed[0]):
            return None
        return Slot(app.name, changed[0].name, 0, TRIAL, spec_digest(app, changed[0]))

    def _is_tried(self, app: AppDefinition, slot: Slot) -> bool:
        self.preparing.append(slot)
        if self._judge().is_up(app, slot):
            return True
        self._drive(app, slot)
        self._give_up_if_failed(app, slot)
        return False

    def _give_up_if_failed(self, app: AppDefinition, slot: Slot) -> None:
        judge = self._judge()
        failure = judge.failure(app, slot) or judge.lateness(app, slot)
        if failure is not None:
            self._fail(app.version, failure)

    def _fail(self, version: str, failure: Failure) -> None:
        """Give *version* up if there is one to go back to; else report why it does not run."""
        good = self.memory.good
        if not good or good == version:
            if self.memory.failure is None or failure.message != self.memory.failure.message:
                self.memory = replace(self.memory, failure=failure)
            return
        self.notes.append(f"version {version} is given up: {failure.message}")
        self.memory = replace(self.memory, live=good, failed=version, failure=failure)
        self.preparing.clear()
        self.steps = [step for step in self.steps if isinstance(step, Fetch)]
        self._enter(STEADY, good)

    # a version that is live

    def _verify(self, app: AppDefinition) -> None:
        """Find out whether the live version is good now, or has failed."""
        judge, slots = self._judge(), live_slots(app)
        late = [slot for slot in slots if not judge.is_up(app, slot)]
        if not late and self.it.files == app.version:
            window = self.since + self._window(app)
            if self.now >= window:
                self.memory = replace(self.memory, good=app.version, failed="", failure=None)
                self._enter(STEADY, app.version)
                self.notes.append(f"version {app.version} is healthy")
                return
            self.wakes.append(window)
        found = [judge.failure(app, slot) for slot in slots]
        found += [judge.lateness(app, slot) for slot in late]
        failure = next((one for one in found if one is not None), None)
        if failure is not None:
            self._fail(app.version, failure)

    def _window(self, app: AppDefinition) -> float:
        """Seconds that a new version has to be healthy: its files may change what was ready."""
        if app.workload == JOB or not self.memory.good:
            return 0.0
        seconds = [float(app.min_ready)]
        for service in app.services:
            probe = service.readiness
            seconds.append(probe.period + probe.timeout if probe else self.it.settle)
        return max(seconds)

    def _keep(self, app: AppDefinition) -> None:
        """Have exactly the instances of the live version run; hold those of the last good one.

        All of its new instances are made before any of the old ones is stopped.
        """
        slots = live_slots(app)
        self.known |= set(slots)
        missing = self._missing(app, slots)
        if missing and self._is_here(app.version):
            self.steps += [Create(slot, app.version) for slot in missing if self._is_due(app, slot)]
        is_steady = self.memory.good == app.version and self.it.files == app.version
        if missing and is_steady and self.it.phase == f"{STEADY} {app.version}":
            made = {step.slot.service for step in self.steps if isinstance(step, Create)}
            self.drift += [one.name for one in app.services if one.name in made]
        if not missing:
            self._stop_others(slots)
            if self.it.files != app.version:
                self.steps.append(SwitchFiles(self.it.name, app.version))
        for slot in slots:
            if slot in self.by_slot and (is_steady or not missing):
                self._drive(app, slot)
        if not missing:
            self.steps += self._removals(slots)

    def _missing(self, app: AppDefinition, slots: Sequence[Slot]) -> Sequence[Slot]:
        found = [one for one in slots if one not in self.by_slot]
        found = [one for one in found if slot_key(one) not in self.memory.finished]
        if app.workload != JOB:
            return found
        there = [self.by_slot[slot] for slot in slots if slot in self.by_slot]
        open_ones = [one for one in there if slot_key(one.slot) not in self.memory.finished]
        return found[: max(app.job.parallelism - len(open_ones), 0)]

    def _stop_others(self, slots: Sequence[Slot]) -> None:
        """Stop what runs and is neither live nor being prepared, the newest first."""
        stays = {*slots, *self.preparing}
        for one in _newest_first(self.it.instances):
            if one.slot not in stays and one.state in {RUNNING, RESTARTING}:
                self.steps.append(Stop(one))
                if one.slot.stage == LIVE:
                    held = (*self.memory.held, slot_key(one.slot))
                    self.memory = replace(self.memory, held=held)

    def _removals(self, slots: Sequence[Slot]) -> list[Step]:
        """Remove what no version needs that may be live again."""
        stays = {*slots, *self.preparing}
        if self.memory.good and self.memory.good != self.memory.live:
            stays |= set(live_slots(self._app(self.memory.good)))
        return [Remove(one) for one in self.it.instances if one.slot not in stays]

    # one instance

    def _drive(self, app: AppDefinition, slot: Slot) -> None:
        """Bring one instance on its way: create, start, start again, or end it."""
        self.known.add(slot)
        instance, key = self.by_slot.get(slot), slot_key(slot)
        if instance is None:
            if self._is_due(app, slot):
                self.steps.append(Create(slot, app.version))
        elif instance.state == RUNNING:
            self._watch(slot, instance)
        elif instance.state == CREATED:
            if self._is_due(app, slot):
                self.steps.append(Start(instance))
        elif instance.state == EXITED:
            if app.workload == JOB and has_succeeded(instance) and key not in self.memory.held:
                self._finish(slot)
            if self._judge().may_restart(app, slot) and self._is_due(app, slot):
                self.steps.append(Start(instance))

    def _watch(self, slot: Slot, instance: Instance) -> None:
        """End an instance whose probes fail; it is then started again as if it had ended."""
        key = slot_key(slot)
        if key in self.memory.held:
            held = tuple(one for one in self.memory.held if one != key)
            self.memory = replace(self.memory, held=held)
        health = self.it.health.get(instance.key)
        if health is not None and health.lapse:
            before = self.attempts.get(slot, Attempts())
            after = charged(before, self.now, health.lapse, health.message)
            self.attempts[slot] = replace(after, run=run_of(instance))
            self.steps.append(Stop(instance))

    def _finish(self, slot: Slot) -> None:
        key = slot_key(slot)
        if key not in self.memory.finished:
            self.memory = replace(self.memory, finished=(*self.memory.finished, key))
            self.wakes.append(self.now)

    def _is_due(self, app: AppDefinition, slot: Slot) -> bool:
        """Whether the pause after the last failure is over."""
        due = start_due(self.attempts.get(slot, Attempts()), restart_rule(app, slot))
        if self.now < due:
            self.wakes.append(due)
        return self.now >= due
