"""Waits: read a state again and again, until it is reached, failed, or the time is over."""

from collections.abc import Callable, Sequence
from typing import Any

from edgesync.client.calls import Calls, Json
from edgesync.client.errors import NotFoundError, RolloutFailed, WaitTimeout
from edgesync.client.steps import Pause, ReadClock, Steps

CAUSES = 3
"""Causes that are named in one line."""

_FAILED, _TO_COME = "failed", frozenset({"pending", "removing"})


def app_converged(calls: Calls, path: str, *, timeout: float, every: float) -> Steps[Json]:
    """The rollout of the app at *path* once all its nodes run it."""
    end = (yield ReadClock()) + timeout
    while True:
        rollout: Json = yield from calls.json("GET", f"{path}/rollout")
        progress = progress_line(rollout)
        if not progress:
            return rollout
        message = f"{rollout['name']}: {progress}"
        if rollout["failed"] and not rollout["pending"]:
            raise RolloutFailed(message, cause_lines(rollout))
        if (yield ReadClock()) >= end:
            raise WaitTimeout(message, cause_lines(rollout))
        yield Pause(every)


def node_converged(calls: Calls, path: str, *, timeout: float, every: float) -> Steps[Json]:
    """The explanation of the node at *path* once it runs what it is to run."""
    end = (yield ReadClock()) + timeout
    while True:
        explained: Json = yield from calls.json("GET", f"{path}/explain")
        if explained["converged"]:
            return explained
        outcomes = {app["outcome"] for app in explained["apps"]}
        causes = [
            f"{app['name']}: {app['message']}"
            for app in explained["apps"]
            if app["outcome"] == _FAILED
        ]
        message = f"{explained['name']}: {explained['message']}"
        if causes and not outcomes & _TO_COME:
            raise RolloutFailed(message, causes)
        if (yield ReadClock()) >= end:
            raise WaitTimeout(message, causes)
        yield Pause(every)


def node_online(calls: Calls, path: str, *, timeout: float, every: float) -> Steps[Json]:
    """The node at *path* once it exists and is online."""
    end = (yield ReadClock()) + timeout
    while True:
        try:
            node: Json = yield from calls.json("GET", path)
        except NotFoundError as missing:
            message = missing.message
        else:
            if node["ready"]:
                return node
            message = f"{node['name']} is {node['state']['name']}: {node['state']['reason']}"
        if (yield ReadClock()) >= end:
            raise WaitTimeout(message)
        yield Pause(every)


def users_converged(calls: Calls, path: str, *, timeout: float, every: float) -> Steps[None]:
    """Return once all apps in the list at *path* have converged."""
    end = (yield ReadClock()) + timeout
    content = yield from calls.json("GET", path)
    for app in content["items"]:
        left = max(end - (yield ReadClock()), 0.0)
        yield from app_converged(calls, f"/v1/apps/{app['name']}", timeout=left, every=every)


def progress_line(rollout: Json) -> str:
    """How far an app has come, by the answer of its rollout; empty once it runs on all nodes."""
    selected, running = rollout["selected"], rollout["running"]
    if running >= selected:
        return ""
    parts = [
        f"{rollout[state]} {state}" for state in ("failed", "pending", "offline") if rollout[state]
    ]
    version = rollout["version"]
    return f"{running} of {selected} nodes run version {version} ({', '.join(parts)})"


def cause_lines(rollout: Json, shown: Callable[[Any], str] = str) -> Sequence[str]:
    """The causes of most failures, each with its nodes, as many as are named, as *shown*."""
    named: dict[str, list[str]] = {}
    for one in rollout["failures"]:
        named.setdefault(shown(one["cause"]), []).append(shown(one["node"]))
    causes = rollout.get("causes") or ()
    if len(causes) <= 1 and len(named) == 1:
        [(cause, nodes)] = named.items()
        more = rollout["failed"] - len(nodes)
        return [f"{', '.join(nodes)}{f' and {more} more' if more > 0 else ''}: {cause}"]
    return [
        *(f"{one['nodes']} x {shown(one['cause'])}" for one in causes[:CAUSES]),
        *(f"{', '.join(nodes)}: {cause}" for cause, nodes in named.items()),
    ]
