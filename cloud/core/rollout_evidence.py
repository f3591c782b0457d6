"""What reports of nodes show about the versions that rollouts brought them."""

from datetime import datetime

import msgspec
from msgspec.structs import replace

from cloud.core.app import AppVersion
from cloud.core.deploys import CAUSE_LIMIT, Deploy, DeployOutcome
from cloud.core.report import PENDING, UP, AppStats, Report, failure_of, runs_instead
from cloud.core.rollout import Assignment, AssignmentState

_ADMITTED = AssignmentState.ADMITTED


class AppEvidence(msgspec.Struct, frozen=True, gc=False):
    """How a node does with one version of an app by a report.

    *is_taken*: it names the version; *is_healthy*: every instance of it works. *cause* is why it
    failed, empty where it did not. *restarts* of all its instances.
    """

    is_taken: bool
    is_healthy: bool
    cause: str = ""
    restarts: int = 0


def evidence_of(report: Report, name: str, version: str, refusal: str = "") -> AppEvidence:
    """The evidence of *report* for *version* of the app *name*; none for a node without the app.

    *refusal* is why the node could not take it over, if it reports that. An empty *version* stands
    for a node without the app.
    """
    held = [app.version for app in report.reported.apps or () if app.name == name]
    if not version:
        return AppEvidence(not held and report.reported.apps is not None, is_healthy=not held)
    if refusal:
        return AppEvidence(is_taken=False, is_healthy=False, cause=refusal)
    if held != [version]:
        return AppEvidence(is_taken=False, is_healthy=False)
    if report.stats is None:
        return AppEvidence(is_taken=True, is_healthy=True)
    for own in report.stats:
        if own.name == name:
            return _evidence_of(own, version)
    return AppEvidence(is_taken=True, is_healthy=False)


def _evidence_of(own: AppStats, version: str) -> AppEvidence:
    # With every report of every node under way, hence one loop without generators.
    is_up, restarts = own.version == version and own.status in UP, 0
    for instance in (own.instances or {}).values():
        if type(instance) is not dict:
            continue
        status, count = instance.get("status"), instance.get("restarts")
        if type(status) is str and status not in UP:
            is_up = False
        if type(count) is int:
            restarts += count
    cause = failure_of(AppVersion(own.name, version), own)
    if not cause and own.status != PENDING and (other := runs_instead(own)):
        cause = f"runs version {other} instead"
    is_healthy = is_up and not cause
    return AppEvidence(is_taken=True, is_healthy=is_healthy, cause=cause, restarts=restarts)


def after_report(
    assignment: Assignment, report: Report, received: datetime, refusal: str = ""
) -> Assignment:
    """*assignment* once *report* was *received*; the same object where that changes nothing.

    Only a report received after the node was sent the version counts. One that was sent it and
    failed stays failed.
    """
    state = assignment.state
    if state is AssignmentState.ADMITTED:
        return _taken_unsent(assignment, report, received)
    if state in _ON_THE_WAY_BACK:
        return _on_the_way_back(assignment, report, received)
    if state not in _WATCHED or assignment.sent is None or received <= assignment.sent:
        return assignment
    return _with_evidence(assignment, report, received, refusal)


def _with_evidence(
    assignment: Assignment, report: Report, received: datetime, refusal: str
) -> Assignment:
    state = assignment.state
    seen = evidence_of(report, assignment.app, assignment.version, refusal)
    cause = seen.cause
    if assignment.healthy and seen.restarts > assignment.restarts:
        cause = cause or f"restarted {seen.restarts - assignment.restarts} times"
    if cause and state in _MAY_FAIL:
        return failed(assignment, cause)
    if seen.is_healthy and not cause:
        if assignment.healthy:
            return assignment
        return replace(assignment, healthy=received, restarts=seen.restarts)
    if assignment.healthy and state is not AssignmentState.UPDATED:
        return replace(assignment, healthy=None)
    return assignment


def stands_by(assignment: Assignment, deploy: Deploy | None) -> bool:
    """Return whether a node with this *assignment* was sent its version with *deploy*.

    When a node that was admitted was sent its version, and since when it has been healthy with it,
    is stored only where that differs from what its newest deploy states.
    """
    return (
        assignment.state is _ADMITTED
        and deploy is not None
        and assignment.admitted is not None
        and deploy.sent >= assignment.admitted
        and AppVersion(assignment.app, assignment.version) in deploy.apps
    )


def with_deploy(assignment: Assignment, deploy: Deploy | None) -> Assignment:
    """*assignment* as it stands by the newest *deploy* of the node; the same object if not so."""
    if deploy is None or not stands_by(assignment, deploy):
        return assignment
    healthy = deploy.ended if deploy.outcome is DeployOutcome.CONVERGED else None
    return replace(assignment, state=AssignmentState.SENT, sent=deploy.sent, healthy=healthy)


def failed(assignment: Assignment, cause: str) -> Assignment:
    """*assignment* of a node that failed with its version because of *cause*."""
    cause = cause[:CAUSE_LIMIT]
    return replace(assignment, state=AssignmentState.FAILED, healthy=None, cause=cause)


def after_sending(assignment: Assignment, now: datetime) -> Assignment:
    """*assignment* once the node is sent its version at *now*; the same object if it was before."""
    if assignment.state is AssignmentState.ADMITTED:
        return replace(assignment, state=AssignmentState.SENT, sent=now, healthy=None)
    if assignment.state is AssignmentState.RETURNING and assignment.sent is None:
        return replace(assignment, sent=now)
    return assignment


_WATCHED = {
    AssignmentState.WAITING,
    AssignmentState.SENT,
    AssignmentState.UPDATED,
    AssignmentState.FAILED,
}
_ON_THE_WAY_BACK = {AssignmentState.RETURNING, AssignmentState.RETURNED}
_MAY_FAIL = {AssignmentState.SENT, AssignmentState.UPDATED}


def _taken_unsent(assignment: Assignment, report: Report, received: datetime) -> Assignment:
    """A node that runs the version without having been sent it: later reports are evidence."""
    seen = evidence_of(report, assignment.app, assignment.version)
    return after_sending(assignment, received) if seen.is_taken else assignment


def _on_the_way_back(assignment: Assignment, report: Report, received: datetime) -> Assignment:
    """A node may apply what it was sent last after it reported that it had returned."""
    if assignment.admitted and received <= assignment.admitted:
        return assignment
    is_back = evidence_of(report, assignment.app, assignment.version).is_taken
    state = AssignmentState.RETURNED if is_back else AssignmentState.RETURNING
    if state is assignment.state:
        return assignment
    return replace(assignment, state=state, healthy=received if is_back else None)
