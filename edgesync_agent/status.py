"""How apps do, as an entry of a report's `appstats` (docs/protocol.md, "Report"). Pure."""

from __future__ import annotations

import time
from typing import Any, Mapping

from edgesync_agent.attempts import has_succeeded
from edgesync_agent.runtime import EXITED, INIT, LIVE, RUNNING, Instance, InstanceUsage
from edgesync_agent.situation import (
    AppMemory,
    AppPlan,
    Attempts,
    Failure,
    FetchState,
    Health,
    Situation,
    live_slots,
    service_of,
    slot_key,
)
from edgesync_agent.spec import JOB, AppDefinition

PENDING_STATUS, RUNNING_STATUS, FAILED_STATUS = "Pending", "Running", "Failed"
SUCCEEDED_STATUS = "Succeeded"
CAUSE_LIMIT = 1000  # characters
FAILURES_SHOWN = 3  # from so many failures on, an instance that does not run is Failed


def app_status(
    situation: Situation, plan: AppPlan, usage: Mapping[str, InstanceUsage]
) -> dict[str, Any]:
    """The entry of one app; its `version` is the desired one, `running` the one that is live."""
    desired, memory = situation.desired, plan.memory or AppMemory()
    assert desired is not None  # noqa: S101
    entry: dict[str, Any] = {"name": situation.name, "version": desired.version}
    instances = {
        name: shown
        for one in situation.instances
        for name, shown in [_instance(one, situation, plan, usage)]
    }
    status, cause = _verdict(situation, plan, memory, desired)
    entry["status"], entry["cause"] = status, cause[:CAUSE_LIMIT]
    entry["instances"] = instances
    if memory.live and memory.live != desired.version:
        entry["running"] = memory.live
    if memory.failure is not None and memory.failure.version == desired.version:
        entry["failure"] = failure_entry(memory.failure)
    return entry


def failure_entry(failure: Failure) -> dict[str, Any]:
    """A failure for programs."""
    found: dict[str, Any] = {
        "version": failure.version,
        "reason": failure.reason,
        "message": failure.message,
        "seconds": failure.seconds,
    }
    for key, value in (("service", failure.service), ("log", failure.log)):
        if value:
            found[key] = value
    if failure.exit_code >= 0:
        found["exitCode"] = failure.exit_code
    return found


def without_instances(
    name: str, version: str, failure: Failure, status: str = FAILED_STATUS
) -> dict[str, Any]:
    """The entry of an app that cannot even be begun."""
    entry = {"name": name, "version": version, "status": status, "cause": failure.message}
    return {**entry, "instances": {}, "failure": failure_entry(failure)}


def failure_words(failure: Failure) -> str:
    """A failure as one line: the version, how it failed, after how long, and details."""
    what, _, detail = failure.message.partition(": ")
    after = f" after {failure.seconds} s" if failure.seconds else ""
    service = f"service {failure.service}" if failure.service else ""
    details = ": ".join(filter(None, (service, detail)))
    return f"v{failure.version} {what}{after}" + (f" ({details})" if details else "")


def _verdict(
    situation: Situation, plan: AppPlan, memory: AppMemory, desired: AppDefinition
) -> tuple[str, str]:
    if memory.failed == desired.version and memory.failure is not None:
        words = failure_words(memory.failure)
        return FAILED_STATUS, f"{words}; v{memory.live} runs again"
    fetch = situation.fetches.get(desired.version, FetchState())
    if memory.live != desired.version:
        if fetch.failure is not None:
            return PENDING_STATUS, fetch.failure.message
        if not fetch.is_here:
            return PENDING_STATUS, "its images and files are being fetched"
        return PENDING_STATUS, "it is being prepared"
    if memory.failure is not None and memory.good != memory.live:
        return FAILED_STATUS, failure_words(memory.failure)
    return _live(situation, plan, memory, desired)


def _live(
    situation: Situation, plan: AppPlan, memory: AppMemory, app: AppDefinition
) -> tuple[str, str]:
    by_slot = {one.slot: one for one in situation.instances}
    is_waiting = ""
    for slot in live_slots(app):
        instance = by_slot.get(slot)
        attempts = plan.attempts.get(slot, Attempts())
        if slot_key(slot) in memory.finished:
            continue
        if instance is not None and instance.state == RUNNING:
            health = situation.health.get(instance.key, Health())
            if health.ready_since is None or health.lapse:
                why = health.message or "not ready yet"
                is_waiting = is_waiting or f"service {slot.service}: {why}"
            continue
        rule = service_of(app, slot).restart
        is_done = instance is not None and has_succeeded(instance) and rule.policy != "Always"
        if is_done and app.workload != JOB:
            continue
        is_final = instance is not None and instance.state == EXITED and rule.policy == "Never"
        words = attempts.message or "not started yet"
        if attempts.count >= FAILURES_SHOWN or (is_final and app.workload != JOB):
            return FAILED_STATUS, f"service {slot.service}: {words} ({attempts.count} failures)"
        is_waiting = is_waiting or f"service {slot.service}: {words}"
    if is_waiting:
        return PENDING_STATUS, is_waiting
    if memory.good != memory.live:
        return PENDING_STATUS, "it runs and has to stay healthy for a while"
    return (SUCCEEDED_STATUS if app.workload == JOB else RUNNING_STATUS), ""


def _instance(
    one: Instance,
    situation: Situation,
    plan: AppPlan,
    usage: Mapping[str, InstanceUsage],
) -> tuple[str, dict[str, Any]]:
    attempts = plan.attempts.get(one.slot, Attempts())
    name = instance_name(one)
    status, cause = PENDING_STATUS, attempts.message
    if one.state == RUNNING:
        health = situation.health.get(one.key, Health())
        status, cause = RUNNING_STATUS, "" if health.ready_since is not None else health.message
    elif one.state == EXITED:
        is_done = has_succeeded(one) or slot_key(one.slot) in (plan.memory or AppMemory()).held
        status = SUCCEEDED_STATUS if is_done else FAILED_STATUS
        cause = "" if is_done else attempts.message or f"exited with code {one.exit_code}"
    shown: dict[str, Any] = {
        "name": name,
        "serviceName": one.slot.service,
        "version": one.version,
        "status": status,
        "cause": cause[:CAUSE_LIMIT],
        "createTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.created)),
        "restarts": max(one.restarts, attempts.count),
    }
    if one.state == EXITED or one.slot.stage == INIT:
        shown["exitCode"] = one.exit_code
    used = usage.get(one.key)
    if used is not None:
        shown["usage"] = {"cpu": f"{used.cpu:.3f}", "memory": str(used.memory)}
    return name, shown


def instance_name(one: Instance) -> str:
    """The name of an instance for people."""
    stage = "" if one.slot.stage == LIVE else f"-{one.slot.stage}"
    return f"{one.slot.app}-{one.slot.service}-{one.slot.replica}{stage}-{one.slot.digest[:5]}"


def essence(entry: Mapping[str, Any]) -> Any:
    """The part of an entry whose change is reported at once: all but figures."""
    instances = {
        name: (one.get("status"), one.get("cause"), one.get("restarts"))
        for name, one in (entry.get("instances") or {}).items()
    }
    return {**entry, "instances": instances}
