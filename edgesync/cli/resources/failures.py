"""Where an app failed and why, by the answer of its rollout."""

from collections.abc import Iterator, Mapping
from typing import Any

from edgesync.cli.output import in_line

CAUSES = 3
"""Causes that are named in one line."""


def progress_line(rollout: Mapping[str, Any]) -> str:
    """How far the app has come; empty once it runs on all nodes."""
    selected, running = rollout["selected"], rollout["running"]
    if running >= selected:
        return ""
    parts = [
        f"{rollout[state]} {state}" for state in ("failed", "pending", "offline") if rollout[state]
    ]
    version = rollout["version"]
    return f"{running} of {selected} nodes run version {version} ({', '.join(parts)})"


def cause_lines(rollout: Mapping[str, Any]) -> Iterator[str]:
    """The causes of most failures, each with its nodes, as many as are named."""
    named: dict[str, list[str]] = {}
    for one in rollout["failures"]:
        named.setdefault(in_line(one["cause"]), []).append(in_line(one["node"]))
    causes = rollout.get("causes") or ()
    if len(causes) <= 1 and len(named) == 1:
        [(cause, nodes)] = named.items()
        more = rollout["failed"] - len(nodes)
        yield f"{', '.join(nodes)}{f' and {more} more' if more > 0 else ''}: {cause}"
        return
    for one in causes[:CAUSES]:
        yield f"{one['nodes']} x {in_line(one['cause'])}"
    for cause, nodes in named.items():
        yield f"{', '.join(nodes)}: {cause}"
