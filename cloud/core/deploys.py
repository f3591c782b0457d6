"""A deploy: one change of what a node should run, from the first update sent to its outcome."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from cloud.core.app import AppVersion
from cloud.core.delta import is_applied
from cloud.core.desired import Desired
from cloud.core.report import UP, AppStats, Report, Reported, failure_of, refusal_of
from cloud.core.running import RunningApp, RunState

EXPIRES_AFTER = timedelta(days=7)
"""How long a node may take to apply an update; then the deploy expires."""

DEPLOYS_KEPT = 20
"""Deploys of one node that are stored by default."""

APPLY_TICK = timedelta(seconds=10)
"""How often stock agents try to apply what they should run."""

CAUSE_LIMIT = 500
"""Characters that are stored of why an app failed."""


class DeployOutcome(StrEnum):
    """How a deploy stands.

    A node that *failed* may still get there: then it has converged. All others but *pending* stay.
    """

    PENDING = "pending"
    CONVERGED = "converged"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


class DeployStatus(StrEnum):
    """How a node stands with all that it should run.

    *pending* until a report shows that it runs all of it, also of a node that never reported.
    *failed* includes *rolledBack*: every app that failed runs in an older version.
    """

    CONVERGED = "converged"
    PENDING = "pending"
    FAILED = "failed"
    ROLLED_BACK = "rolledBack"


class Deploy(msgspec.Struct, frozen=True, omit_defaults=True, rename={"sent": "told"}):
    """The desired state of one node from some moment on, and its outcome.

    *number* counts those of a node. *wanted*: when what the node should run was changed, as far as
    that is known; *sent*: when the node was first sent it; *acknowledged*: when a report first
    named exactly these apps; *ended*: since when *outcome* is what it is. *after_failure*: the
    deploy before had failed, so that the node may go on about that one for a moment.
    """

    number: int
    wanted: datetime
    sent: datetime
    apps: tuple[AppVersion, ...] = ()
    sysapps: tuple[AppVersion, ...] = ()
    acknowledged: datetime | None = None
    ended: datetime | None = None
    outcome: DeployOutcome = DeployOutcome.PENDING
    cause: str = ""
    after_failure: bool = False

    @property
    def is_open(self) -> bool:
        """Return whether a report of the node may still change it."""
        return self.outcome in {DeployOutcome.PENDING, DeployOutcome.FAILED}

    def is_of(self, desired: Desired) -> bool:
        """Return whether this is what the node should run still."""
        return (self.apps, self.sysapps) == (desired.apps, desired.sysapps)

    def superseded(self, now: datetime) -> "Deploy":
        """This once the node should run something else; what failed stays so."""
        if self.outcome is DeployOutcome.PENDING:
            return self._ended(DeployOutcome.SUPERSEDED, now)
        return self

    def at(self, now: datetime) -> "Deploy":
        """This as it stands at *now* where no report came since."""
        end = self.sent + EXPIRES_AFTER
        is_late = self.outcome is DeployOutcome.PENDING and now >= end
        return self._ended(DeployOutcome.EXPIRED, end) if is_late else self

    def after(self, report: Report, now: datetime) -> "Deploy":
        """This once *report* has come."""
        if not self.is_open:
            return self
        taken, stats = self, _by_name(report)
        is_taken = runs(report.reported, Desired(self.apps, self.sysapps))
        if is_taken and self.acknowledged is None:
            taken = msgspec.structs.replace(self, acknowledged=now)
        if cause := self._trouble(report, now):
            if self.outcome is DeployOutcome.FAILED:
                return taken
            return taken._ended(DeployOutcome.FAILED, now, cause)
        if is_taken and all(_is_up(app, stats) for app in (*self.apps, *self.sysapps)):
            return taken._ended(DeployOutcome.CONVERGED, now)
        return taken

    def _ended(self, outcome: DeployOutcome, when: datetime, cause: str = "") -> "Deploy":
        return msgspec.structs.replace(self, outcome=outcome, ended=when, cause=cause)

    def _trouble(self, report: Report, now: datetime) -> str:
        """Why the first app that failed did; empty where none did."""
        stats, refused = _by_name(report), self.refused(report, now)
        held = {*(report.reported.apps or ()), *(report.reported.sysapps or ())}
        for app in (*self.apps, *self.sysapps):
            cause = refused.get(app.name, "")
            if app in held and stats:
                cause = failure_of(app, stats.get(app.name))
            if cause:
                return f"{app.name}: {cause}"[:CAUSE_LIMIT]
        return ""

    def refused(self, report: Report, received: datetime) -> Mapping[str, str]:
        """Name and cause of each app that the node could not take over by *report*.

        What it reports within APPLY_TICK may be of the deploy before, where that had failed.
        """
        if not report.stats or (self.after_failure and received < self.sent + APPLY_TICK):
            return {}
        held = {*(report.reported.apps or ()), *(report.reported.sysapps or ())}
        stats = {own.name: own for own in report.stats}
        found = (
            (app.name, refusal_of(app, stats.get(app.name)))
            for app in (*self.apps, *self.sysapps)
            if app not in held
        )
        return {name: cause for name, cause in found if cause}


def runs(reported: Reported, desired: Desired) -> bool:
    """Return whether a node that reported this has applied what is desired."""
    return is_applied(reported, desired)


def deploy_status(report: Report, desired: Desired, running: Sequence[RunningApp]) -> DeployStatus:
    """How a node stands that made this *report*, which names the apps *running*."""
    stats = _by_name(report)
    states = {app.state for app in running}
    system_failed = stats is not None and any(
        failure_of(app, stats.get(app.name)) for app in desired.sysapps
    )
    if system_failed or not states.isdisjoint(_FAILED_STATES):
        return DeployStatus.FAILED
    if RunState.ROLLED_BACK in states:
        return DeployStatus.ROLLED_BACK
    is_up = all(_is_up(app, stats) for app in (*desired.apps, *desired.sysapps))
    if is_up and runs(report.reported, desired):
        return DeployStatus.CONVERGED
    return DeployStatus.PENDING


_FAILED_STATES = (RunState.FAILED, RunState.REFUSED)


def _by_name(report: Report) -> Mapping[str, AppStats] | None:
    """The app states of the node's report; None if it has none."""
    return {own.name: own for own in report.stats} if report.stats is not None else None


def _is_up(app: AppVersion, stats: Mapping[str, AppStats] | None) -> bool:
    """Return whether the app runs; a node without app states counts as running what it named."""
    if stats is None:
        return True
    own = stats.get(app.name)
    return own is not None and own.version == app.version and own.status in UP


def wanted_at(changes: Sequence[datetime], now: datetime) -> datetime:
    """When the last of *changes* was, if any is known; else *now*, when it was noticed."""
    return min(max(changes), now) if changes else now
