"""The reported apps of a node, small enough to be counted over a fleet: a line for each app."""

import re
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b
from types import MappingProxyType

import msgspec

from cloud.core.app import AppVersion
from cloud.core.report import UP, AppStats, Report, failure_of, runs_instead

APPS_AT_MOST = 500
"""Apps of a report that are counted; a node that names more is counted with the first ones."""

TEXT_LIMIT = 128
"""Characters of a name or version that is counted; no app of this server has longer ones."""


_NONE: Mapping[str, str] = MappingProxyType({})


class RunState(StrEnum):
    """How an app does by the report that names it.

    *refused*: the node reports that it could not apply the wanted version, and names another one
    or none. *rolledBack*: the wanted version failed, and the node runs an older one in its place.
    *unselected* is not of the report: the node should not run the app at all, and was not
    heard since the interval was sent, or does not follow it yet.
    """

    RUNNING = "running"
    FAILED = "failed"
    PENDING = "pending"
    REFUSED = "refused"
    ROLLED_BACK = "rolledBack"
    UNSELECTED = "unselected"


class AppStatus(StrEnum):
    """How a node stands with an app as it is wanted now.

    *failed* includes *rolledBack*: the older version runs there. Selected nodes are *pending* until
    they run it or failed; *unselected* ones name the app in their reports and should not.
    """

    RUNNING = "running"
    FAILED = "failed"
    ROLLED_BACK = "rolledBack"
    PENDING = "pending"
    UNSELECTED = "unselected"


NOT_UP = (RunState.FAILED, RunState.REFUSED, RunState.ROLLED_BACK)
"""States of a version that does not run on a node, and will not by itself."""

CAUSE_GROUP_LIMIT = 200
"""Characters of a cause by which failures are grouped."""

_VARYING = re.compile(
    r"(?P<id>\b[0-9a-f]{12,64}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?P<span>\b[0-9]+(?:\.[0-9]+)?(?= ?(?:ms|s|min|seconds?|minutes?)\b))"
    r"|(?P<address>\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]+)?\b)"
)


def cause_group(cause: str) -> str:
    """*cause* without what differs between nodes that failed alike: ids, durations, addresses."""
    line = cause.strip().split("\n", 1)[0]
    return _VARYING.sub("#", line)[:CAUSE_GROUP_LIMIT]


class RunningApp(msgspec.Struct, frozen=True, order=True, gc=False):
    """An app that a node names in its report; *cause* is the `cause_group` of why it failed."""

    name: str
    version: str
    state: str
    cause: str = ""


def running_apps(
    report: Report, wanted: Collection[AppVersion], refused: Mapping[str, str] = _NONE
) -> Sequence[RunningApp]:
    """The apps of *report*, in its order; without app states all count as running.

    *wanted* is what the node should run, at whatever version; *refused* names what of that it could
    not take over, and why. A node that rolled an app back counts with the older version, too.
    """
    apps = report.reported.apps or ()
    names = {app.name for app in wanted}
    stats = None if report.stats is None else {own.name: own for own in report.stats}
    failed = [
        RunningApp(app.name, app.version, _REFUSED, cause_group(refused[app.name]))
        for app in wanted
        if app.name in refused
    ]
    found = [
        RunningApp(app.name, app.version, *(_state(app, stats) if app.name in names else _OTHER))
        for app in apps[:APPS_AT_MOST]
        if _is_counted(app.name) and _is_counted(app.version)
    ]
    older = [
        RunningApp(app.name, version, *_RUNNING)
        for app in found
        if app.state == RunState.ROLLED_BACK
        and _is_counted(version := runs_instead((stats or {}).get(app.name)))
    ]
    return failed[:APPS_AT_MOST] + found + older


def digest_of(
    report: Report, wanted: Sequence[AppVersion], refused: Mapping[str, str] = _NONE
) -> str:
    """Text that is another one wherever `running_apps` is; empty where there is nothing.

    Of what that is made of, as it is asked for with every report (3 us; the apps took 5 more).
    """
    if not report.reported.apps and not refused:
        return ""
    stats = report.stats
    statuses = None if stats is None else [_status_row(own) for own in stats]
    causes = sorted((name, cause_group(cause)) for name, cause in refused.items())
    made_of = _ENCODER.encode((report.reported.apps, statuses, wanted, causes))
    return blake2b(made_of, digest_size=12).hexdigest()


_ENCODER = msgspec.msgpack.Encoder()
_OTHER = (RunState.UNSELECTED.value, "")
_REFUSED = RunState.REFUSED.value
_RUNNING, _PENDING = (RunState.RUNNING.value, ""), (RunState.PENDING.value, "")


def _status_row(own: AppStats) -> tuple[str, str, str, str, str]:
    cause = ""
    if own.status not in UP:
        cause = cause_group(failure_of(AppVersion(own.name, own.version), own))
    return own.name, own.version, own.status, cause, runs_instead(own)


def _state(app: AppVersion, stats: Mapping[str, AppStats] | None) -> tuple[str, str]:
    """The `RunState` of an app that the node names, and the group of its cause."""
    if stats is None:
        return _RUNNING
    own = stats.get(app.name)
    if own is None:
        return _PENDING
    if cause := failure_of(app, own):
        state = RunState.ROLLED_BACK if runs_instead(own) else RunState.FAILED
        return state.value, cause_group(cause)
    return _RUNNING if own.version == app.version and own.status in UP else _PENDING


def _is_counted(text: str) -> bool:
    return len(text) <= TEXT_LIMIT and text.isascii() and text.isprintable()
