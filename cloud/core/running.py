"""What a node reports it runs, small enough to be counted over a fleet: a line for each app."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b

import msgspec

from cloud.core.app import AppVersion
from cloud.core.report import UP, AppStats, Report, failure_of

APPS_AT_MOST = 500
"""Apps of a report that are counted; a node that names more is counted with the first ones."""

TEXT_LIMIT = 128
"""Characters of a name or version that is counted; no app of this server has longer ones."""


class RunState(StrEnum):
    """How an app does by the report that names it.

    *refused*: the node reports that it could not apply the wanted version, and names another one
    or none. *unselected* is not of the report: the node should not run the app at all, and was not
    heard since the interval was sent, or does not follow it yet.
    """

    RUNNING = "running"
    FAILED = "failed"
    PENDING = "pending"
    REFUSED = "refused"
    UNSELECTED = "unselected"


class RunningApp(msgspec.Struct, frozen=True, order=True, gc=False):
    """An app that a node names in its report."""

    name: str
    version: str
    state: str


def running_apps(
    report: Report, wanted: Collection[AppVersion], refused: Collection[str] = ()
) -> Sequence[RunningApp]:
    """The apps of *report*, in its order; without app states all count as running.

    *wanted* is what the node should run, at whatever version; *refused* names what of that it could
    not take over.
    """
    apps = report.reported.apps or ()
    names = {app.name for app in wanted}
    stats = None if report.stats is None else {own.name: own for own in report.stats}
    failed = [RunningApp(app.name, app.version, _REFUSED) for app in wanted if app.name in refused]
    return failed[:APPS_AT_MOST] + [
        RunningApp(app.name, app.version, _state(app, stats) if app.name in names else _OTHER)
        for app in apps[:APPS_AT_MOST]
        if _is_counted(app.name) and _is_counted(app.version)
    ]


def digest_of(report: Report, wanted: Sequence[AppVersion], refused: Collection[str] = ()) -> str:
    """Text that is another one wherever `running_apps` is; empty where there is nothing.

    Of what that is made of, as it is asked for with every report (3 us; the apps took 5 more).
    """
    if not report.reported.apps and not refused:
        return ""
    stats = report.stats
    statuses = None if stats is None else [_status_row(own) for own in stats]
    made_of = _ENCODER.encode((report.reported.apps, statuses, wanted, sorted(refused)))
    return blake2b(made_of, digest_size=12).hexdigest()


_ENCODER = msgspec.msgpack.Encoder()
_OTHER = RunState.UNSELECTED.value
_FAILED, _RUNNING, _PENDING, _REFUSED = (
    state.value for state in (RunState.FAILED, RunState.RUNNING, RunState.PENDING, RunState.REFUSED)
)


def _status_row(own: AppStats) -> tuple[str, str, str, bool]:
    is_failure = own.status not in UP and bool(failure_of(AppVersion(own.name, own.version), own))
    return own.name, own.version, own.status, is_failure


def _state(app: AppVersion, stats: Mapping[str, AppStats] | None) -> str:
    if stats is None:
        return _RUNNING
    own = stats.get(app.name)
    if own is None:
        return _PENDING
    if failure_of(app, own):
        return _FAILED
    return _RUNNING if own.version == app.version and own.status in UP else _PENDING


def _is_counted(text: str) -> bool:
    return len(text) <= TEXT_LIMIT and text.isascii() and text.isprintable()
