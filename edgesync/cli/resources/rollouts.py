"""Rollouts in words and tables."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cloud.core.rollout import AssignmentState, RolloutState
from edgesync.cli.output import in_line

Json = Mapping[str, Any]

COLUMNS: Mapping[str, Sequence[AssignmentState]] = {
    "WAITING": (AssignmentState.WAITING, AssignmentState.SKIPPED),
    "OFFERED": (AssignmentState.OFFERED,),
    "UNDER WAY": (AssignmentState.ADMITTED, AssignmentState.SENT),
    "UPDATED": (AssignmentState.UPDATED,),
    "FAILED": (AssignmentState.FAILED,),
    "RETURNED": (AssignmentState.RETURNING, AssignmentState.RETURNED),
}
"""The columns of the table of stages, with the states that each counts."""

FAILED_STATES = frozenset(
    {
        RolloutState.FAILED,
        RolloutState.ROLLING_BACK,
        RolloutState.ROLLED_BACK,
        RolloutState.ABORTED,
        RolloutState.SUPERSEDED,
    }
)
"""States in which the version does not reach all nodes."""


def headline(rollout: Json) -> str:
    """One line: version, state and stage; why it is held or has ended."""
    names = [stage["name"] for stage in rollout["stages"]]
    place = names.index(rollout["stage"]) + 1 if rollout["stage"] in names else 1
    stage = f", stage {in_line(rollout['stage'])} ({place} of {len(names)})"
    is_open = RolloutState(rollout["state"]).is_open
    base = rollout["base"] or "none"
    cause = f": {in_line(rollout['cause'])}" if rollout["cause"] else ""
    return (
        f"{in_line(rollout['name'])}, version {base} to {rollout['target']} by policy"
        f" {in_line(rollout['policy'])}, {state_words(rollout['state'])}"
        f"{stage if is_open else ''}{cause}"
    )


def state_words(state: str) -> str:
    """The state as words: `rolledBack` is `rolled back`."""
    return "".join(f" {each.lower()}" if each.isupper() else each for each in state)


def stage_rows(rollout: Json) -> Iterator[list[Any]]:
    """Rows of the table of stages, in `COLUMNS`."""
    for stage in rollout["stages"]:
        counts = stage["counts"]
        yield [
            stage["name"],
            stage["nodes"],
            *(sum(counts.get(state, 0) for state in states) for states in COLUMNS.values()),
            approval_words(stage),
        ]


def approval_words(stage: Json) -> str:
    """Who approved a stage; whether it takes an approval."""
    if stage["approvedBy"]:
        return f"by {in_line(stage['approvedBy'])}"
    return "required" if stage["approval"] == "required" else ""


def wait_lines(rollout: Json) -> Iterator[str]:
    """The nodes that it waits for, and why."""
    for wait in rollout["waits"]:
        until = f", until {local_time(wait['until'])}" if wait["until"] else ""
        detail = in_line(wait["detail"] or wait["reason"])
        yield f"{in_line(wait['node'])}: {detail}{until}"
    more = rollout["waiting"] - len(rollout["waits"])
    if more > 0:
        yield f"and {more} more"


def local_time(text: str) -> str:
    """The RFC 3339 time *text* to the minute, in UTC."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
    except ValueError:
        return in_line(text)


def progress_of(rollout: Json) -> str:
    """How far it is in one line, for a log."""
    counts: dict[str, int] = {}
    for stage in rollout["stages"]:
        for state, count in stage["counts"].items():
            counts[state] = counts.get(state, 0) + count
    shown = ", ".join(f"{counts[state]} {state}" for state in AssignmentState if counts.get(state))
    return f"{headline(rollout)} ({shown or 'no nodes'})"
