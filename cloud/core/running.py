"""What a node says it runs, small enough to be counted over a fleet: a line for each app."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b

import msgspec

from cloud.core.desired import AppVersion
from cloud.core.report import FAILED, UP, AppStats, Report

APPS_AT_MOST = 500
"""Apps of a report that are counted; a node that names more is counted with the first ones."""

TEXT_LIMIT = 128
"""Characters of a name or version that is counted; no app of this server has longer ones."""


class RunState(StrEnum):
    """How an app does by the report that names it.

    *unselected* is not of the report: the node should not run the app at all, and was not heard
    since it was told, or has not obeyed yet.
    """

    RUNNING = "running"
    FAILED = "failed"
    PENDING = "pending"
    UNSELECTED = "unselected"


class RunningApp(msgspec.Struct, frozen=True, order=True, gc=False):
    """An app that a node names in its report."""

    name: str
    version: str
    state: str


def running_apps(report: Report, wanted: Collection[AppVersion]) -> Sequence[RunningApp]:
    """What *report* says of apps, in its order; a node that says of none how it does runs them all.

    *wanted* is what the node should run, at whatever version.
    """
    apps = report.reported.apps
    if not apps:
        return ()
    names = {app.name for app in wanted}
    stats = None if report.stats is None else {own.name: own for own in report.stats}
    return [
        RunningApp(app.name, app.version, _state(app, stats) if app.name in names else _OTHER)
        for app in apps[:APPS_AT_MOST]
        if _is_counted(app.name) and _is_counted(app.version)
    ]


def digest_of(report: Report, wanted: Sequence[AppVersion]) -> str:
    """Text that is another one wherever `running_apps` is; empty where there is nothing.

    Of what that is made of, as it is asked for with every report (3 us; the apps took 5 more).
    """
    if not report.reported.apps:
        return ""
    stats = report.stats
    statuses = None if stats is None else [(own.name, own.version, own.status) for own in stats]
    made_of = _ENCODER.encode((report.reported.apps, statuses, wanted))
    return blake2b(made_of, digest_size=12).hexdigest()


_ENCODER = msgspec.msgpack.Encoder()
_OTHER = RunState.UNSELECTED.value
_FAILED, _RUNNING, _PENDING = (
    state.value for state in (RunState.FAILED, RunState.RUNNING, RunState.PENDING)
)


def _state(app: AppVersion, stats: Mapping[str, AppStats] | None) -> str:
    if stats is None:
        return _RUNNING
    own = stats.get(app.name)
    if own is None:
        return _PENDING
    if own.status == FAILED and own.version in {app.version, ""}:
        return _FAILED
    return _RUNNING if own.version == app.version and own.status in UP else _PENDING


def _is_counted(text: str) -> bool:
    return len(text) <= TEXT_LIMIT and text.isascii() and text.isprintable()
