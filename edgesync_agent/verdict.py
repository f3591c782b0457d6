"""Decides whether the instances of an app are up, have failed, or are late."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

from edgesync_agent.attempts import has_succeeded
from edgesync_agent.runtime import EXITED, INIT, RUNNING, TRIAL, FailureReason, Instance, Slot
from edgesync_agent.situation import (
    AppMemory,
    Attempts,
    Failure,
    Health,
    live_slots,
    service_of,
    slot_key,
)
from edgesync_agent.spec import JOB, AppDefinition, RestartRule

FAILURES_ALLOWED = 3  # of one instance before a version that is not yet good is given up


@dataclass
class Judge:
    """Judges instances of one app at one moment; *wakes* collects when that may change."""

    now: float
    since: float  # when the phase began
    settle: float
    instances: Mapping[Slot, Instance]
    health: Mapping[str, Health]
    attempts: Mapping[Slot, Attempts]
    memory: AppMemory
    wakes: list[float] = field(default_factory=list)

    def is_up(self, app: AppDefinition, slot: Slot) -> bool:
        """Kubernetes' *available*: ready for minReadySeconds; without probes it has to settle.

        What has ended well, and is not to run again, is up, too.
        """
        if slot_key(slot) in self.memory.finished:
            return True
        instance = self.instances.get(slot)
        if instance is None or _is_job(app, slot) or slot.stage == INIT:
            return False
        if instance.state != RUNNING:
            return has_succeeded(instance) and not self.may_restart(app, slot)
        health = self.health.get(instance.key)
        if health is None or health.ready_since is None or health.lapse:
            return False
        service = service_of(app, slot)
        has_probe = service.readiness is not None or service.startup is not None
        due = health.ready_since + max(app.min_ready, 0.0 if has_probe else self.settle)
        if self.now < due:
            self.wakes.append(due)
        return self.now >= due

    def may_restart(self, app: AppDefinition, slot: Slot) -> bool:
        """Whether an instance that has ended is started again, now or after a pause."""
        instance = self.instances[slot]
        if slot_key(slot) in self.memory.held:
            return True
        if _is_job(app, slot):
            is_over = has_succeeded(instance) or slot_key(slot) in self.memory.finished
            return not is_over and self._job_failures(app) <= app.job.backoff_limit
        rule = restart_rule(app, slot)
        count = self.attempts.get(slot, Attempts()).count
        if rule.retries is not None and count > rule.retries:
            return False
        if rule.policy == "OnFailure":
            return not has_succeeded(instance)
        return rule.policy == "Always"

    def failure(self, app: AppDefinition, slot: Slot) -> Failure | None:
        """Why a version that is not yet good is given up for this instance; None while it is not.

        It has failed `FAILURES_ALLOWED` times, or failed and is not to be started again.
        """
        instance, attempts = self.instances.get(slot), self.attempts.get(slot, Attempts())
        has_failed = instance and instance.state == EXITED and not has_succeeded(instance)
        if has_failed and not self.may_restart(app, slot):
            return self.described(app, slot, attempts)
        is_job = _is_job(app, slot)
        count = self._job_failures(app) if is_job else attempts.count
        limit = app.job.backoff_limit + 1 if is_job else FAILURES_ALLOWED
        is_over = attempts.count > 0 and count >= limit
        return self.described(app, slot, attempts) if is_over else None

    def lateness(self, app: AppDefinition, slot: Slot) -> Failure | None:
        """The failure of an app whose *slot* is not up by the deadline; None before.

        A job has no deadline (Kubernetes).
        """
        if app.workload == JOB:
            return None
        deadline = self.since + app.progress_deadline
        if self.now < deadline:
            self.wakes.append(deadline)
            return None
        instance, attempts = self.instances.get(slot), self.attempts.get(slot, Attempts())
        health = self.health.get(instance.key) if instance else None
        if instance and instance.state == RUNNING and health and health.ready_since is None:
            message = f"failed its readiness probe: {health.message or 'no check succeeded'}"
            if service_of(app, slot).readiness is not None:
                attempts = Attempts(1, self.now, FailureReason.READINESS, message)
        if not attempts.count:
            message = "was not ready in time"
            attempts = Attempts(1, self.now, FailureReason.DEADLINE, message)
        return self.described(app, slot, attempts)

    def described(self, app: AppDefinition, slot: Slot, attempts: Attempts) -> Failure:
        """The failure that *attempts* stand for."""
        instance = self.instances.get(slot)
        return Failure(
            version=app.version,
            reason=attempts.reason or FailureReason.EXIT,
            message=attempts.message or "ended",
            service=slot.service,
            exit_code=attempts.exit_code,
            seconds=int(self.now - self.since),
            instance=instance.key if instance else "",
        )

    def _job_failures(self, app: AppDefinition) -> int:
        return sum(self.attempts.get(slot, Attempts()).count for slot in live_slots(app))


def restart_rule(app: AppDefinition, slot: Slot) -> RestartRule:
    """By which rule an instance is started again; what runs to its end is, where it failed."""
    if slot.stage == INIT or _is_job(app, slot):
        return RestartRule("OnFailure")
    return service_of(app, slot).restart


def _is_job(app: AppDefinition, slot: Slot) -> bool:
    return app.workload == JOB and slot.stage not in {INIT, TRIAL}
