"""Counts the failures of instances, and states when one is started again."""

from __future__ import annotations

from dataclasses import replace

from edgesync_agent.runtime import EXITED, RESTARTING, RUNNING, FailureReason, Instance
from edgesync_agent.situation import Attempts
from edgesync_agent.spec import RestartRule

RESET_AFTER = 600.0  # seconds without a failure after which failures are forgotten
_POWER_LIMIT = 64  # pauses that were doubled so often are the longest


def has_succeeded(instance: Instance) -> bool:
    """Whether it has ended as it should."""
    return instance.state == EXITED and instance.exit_code == 0 and not instance.error


def run_of(instance: Instance) -> tuple[str, float, int]:
    """Identifies one run of an instance."""
    return instance.key, instance.started, instance.restarts


def charged(
    before: Attempts, now: float, reason: str, message: str, exit_code: int = -1
) -> Attempts:
    """*before* and one more failure."""
    return Attempts(before.count + 1, now, reason, message, exit_code, before.run)


def exit_failure(instance: Instance) -> tuple[str, str]:
    """Reason and words for an instance that has ended."""
    if instance.out_of_memory:
        return FailureReason.MEMORY, f"was killed: out of memory (exit code {instance.exit_code})"
    if instance.error:
        return FailureReason.START, f"cannot start: {instance.error}"
    return FailureReason.EXIT, f"exited with code {instance.exit_code}"


def counted(before: Attempts | None, instance: Instance, now: float) -> Attempts:
    """The attempts after *instance* was looked at: each run that failed counts once."""
    run = run_of(instance)
    is_over = instance.state in {EXITED, RESTARTING}
    if before is None:
        before = Attempts(run=("", 0.0, instance.restarts) if is_over else run)
    unseen = max(instance.restarts - before.run[2] - 1, 0)  # the engine was quicker
    if is_over and not has_succeeded(instance) and before.run != run:
        after = charged(before, now, *exit_failure(instance), instance.exit_code)
        return replace(after, run=run, count=after.count + unseen)
    if instance.state != RUNNING:
        return before
    if instance.restarts > before.run[2]:
        words = before.message or "ended and was started again by the engine"
        after = charged(before, now, before.reason or FailureReason.EXIT, words, before.exit_code)
        return replace(after, run=run, count=after.count + unseen)
    return Attempts(run=run) if before.count and now - before.at > RESET_AFTER else before


def start_due(attempts: Attempts, rule: RestartRule) -> float:
    """When the next start may be tried: at once after the first failure, then after pauses.

    They grow by the rule's factor (Kubernetes' CrashLoopBackOff: 10 s, 20 s, ... 300 s); a rule
    with pauses of its own has one after the first failure, too.
    """
    power = attempts.count - (1 if rule.has_own_backoff else 2)
    if power < 0 or not attempts.count:
        return 0.0
    if power > _POWER_LIMIT:
        return attempts.at + rule.longest_pause
    return attempts.at + min(rule.first_pause * rule.factor**power, rule.longest_pause)
