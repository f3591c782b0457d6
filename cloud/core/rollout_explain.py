"""What a node waits for in a rollout, in words for people."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from cloud.core.rollout import Assignment, Rollout
from cloud.core.rollout_turns import RolloutWait, WaitReason
from cloud.core.rollout_windows import opens_at, time_zone
from cloud.core.times import time_text


def rollout_words(
    rollout: Rollout,
    wait: RolloutWait,
    assignment: Assignment | None,
    labels: Mapping[str, str],
    now: datetime,
) -> str:
    """Why a node with *labels* and *assignment* has not, or not yet, the version of *rollout*."""
    return f"version {rollout.target} {_words(rollout, wait, assignment, labels, now)}"


def without_names(rollout: Rollout, wait: RolloutWait) -> tuple[Rollout, RolloutWait]:
    """Both without what may name other nodes."""
    has_names = wait.reason in {WaitReason.BUDGET, WaitReason.PAUSE}
    quiet = msgspec.structs.replace(rollout, cause="")
    return quiet, msgspec.structs.replace(wait, detail="") if has_names else wait


def _words(
    rollout: Rollout,
    wait: RolloutWait,
    assignment: Assignment | None,
    labels: Mapping[str, str],
    now: datetime,
) -> str:
    match wait.reason:
        case WaitReason.STAGE:
            return f"waits for {wait.detail}"
        case WaitReason.WINDOW:
            return f"is outside its window until {_opening(rollout, wait, labels, now)}"
        case WaitReason.CONSENT:
            return _consent_words(wait, assignment)
        case WaitReason.APPROVAL:
            return f"waits for the approval of stage {rollout.rules.all_stages[rollout.stage].name}"
        case WaitReason.PAUSE:
            cause = rollout.cause or wait.detail
            return "waits: the rollout is paused" + (f" ({cause})" if cause else "")
        case WaitReason.SCHEDULE:
            return f"waits for the start of the rollout{_until(wait)}"
        case WaitReason.OFFLINE:
            return "waits until the node is online"
        case WaitReason.BUDGET:
            return "waits for others of its group" + (f": {wait.detail}" if wait.detail else "")
        case _:
            return f"{wait.detail}{_until(wait)}"


def _consent_words(wait: RolloutWait, assignment: Assignment | None) -> str:
    if assignment is None or assignment.deferred is None:
        return f"waits for the consent of the device{_until(wait)}"
    reason = f": {assignment.reason}" if assignment.reason else ""
    return f"is deferred by the device until {time_text(assignment.deferred)}{reason}"


def _opening(rollout: Rollout, wait: RolloutWait, labels: Mapping[str, str], now: datetime) -> str:
    """When the window opens, on the clock of the node's time zone."""
    found = opens_at(rollout.rules.windows, labels, now)
    moment, zone = found or (wait.until or now, "UTC")
    local = moment.astimezone(time_zone(zone))
    is_near = moment - now < timedelta(days=1)
    return f"{local:%H:%M} {zone}" if is_near else f"{local:%Y-%m-%d %H:%M} {zone}"


def _until(wait: RolloutWait) -> str:
    return f" until {time_text(wait.until)}" if wait.until else ""
