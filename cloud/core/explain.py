"""Explanation of an app on one node: desired state, reported state, and the reason they differ.

`explained` looks at each app that is desired or reported. The first rule that holds
gives the reason; the report of an app precedes the state of the node.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from cloud.core.app import App, AppVersion
from cloud.core.core_configuration import Mode
from cloud.core.delta import delta_for
from cloud.core.deploys import EXPIRES_AFTER, Deploy, DeployOutcome
from cloud.core.desired import Desired
from cloud.core.encryption_key import WITHHELD_WORDS
from cloud.core.node import Node
from cloud.core.properties import Properties
from cloud.core.readiness import Heard, NodeState, NodeStatus
from cloud.core.report import UP, AppStats, Report, failure_of, runs_instead
from cloud.core.selectors import Operator, Term

_LABELS_SHOWN = 20
_REVOKED = "the node's certificates were revoked: it is shut out"


class Reason(StrEnum):
    """The reason why an app does not run as desired, or that it does."""

    RUNNING = "Running"
    OFFLINE_SINCE = "OfflineSince"
    REPORT_OLDER_THAN_PUSH = "ReportOlderThanPush"
    NOT_SENT = "NotTold"
    FETCHING = "Fetching"
    APP_FAILED = "AppFailed"
    STARTING = "Starting"
    SELECTOR_MISMATCH = "SelectorMismatch"
    LOCAL_MODE = "LocalMode"
    NEVER_ACTIVATED = "NeverActivated"
    ONLY_INIT_REPORTS = "OnlyInitReports"
    REVOKED = "Revoked"
    EXPIRED = "Expired"
    REMOVING = "Removing"
    WAITS_FOR_ROLLOUT = "WaitsForRollout"
    SECRETS_WITHHELD = "SecretsWithheld"


class AppOutcome(StrEnum):
    """How an app stands on a node."""

    CONVERGED = "converged"
    PENDING = "pending"
    FAILED = "failed"
    REMOVING = "removing"
    UNSELECTED = "unselected"


@dataclass(frozen=True, slots=True)
class ExplainFacts:
    """All that is known of one node at *now*.

    *report* is its last one, with its stats; *heard* and *report* are None where it never reported.
    *changed*: when each wanted app was changed last. *deploys* are the newest first, as they
    stand at *now*; *is_stale*: it is noted as one with pending updates. *init_heard*:
    when the `baetyl-init` of a stock agent reported last while its core did not. *withheld* are the
    apps whose secrets the node does not get.
    """

    node: Node
    now: datetime
    node_status: NodeStatus
    heard: Heard | None
    is_revoked: bool
    desired: Desired
    properties: Properties
    changed: Mapping[str, datetime]
    report: Report | None
    deploys: Sequence[Deploy]
    is_stale: bool
    init_heard: datetime | None = None
    withheld: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class AppExplanation:
    """One app on one node; versions and times are None where there are none.

    *rollout* is what the node waits for in the rollout of the app, empty for nothing.
    """

    name: str
    is_system: bool
    wanted: str | None
    reported: str | None
    running: str | None
    status: str
    cause: str
    outcome: AppOutcome
    wanted_at: datetime | None
    sent: datetime | None
    acknowledged: datetime | None
    reported_at: datetime | None
    reason: Reason
    message: str
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All apps of one node, and in words how it stands as a whole.

    *is_converged*: no update is pending, and all that it should run does run.
    """

    is_converged: bool
    message: str
    apps: Sequence[AppExplanation]


def explained(facts: ExplainFacts) -> Explanation:
    """Explain every app that is desired or reported; the desired ones come first."""
    apps = [
        *_explained(facts, facts.desired.apps, is_system=False),
        *_explained(facts, facts.desired.sysapps, is_system=True),
    ]
    is_sent = facts.report is not None and not delta_for(
        facts.report, facts.desired, facts.properties
    )
    is_up = all(app.outcome is AppOutcome.CONVERGED for app in apps)
    is_converged = is_sent and is_up and not facts.is_revoked
    return Explanation(is_converged, _summary(facts, apps, is_converged=is_converged), apps)


def awaiting_rollout(app: App, rollout: str) -> AppExplanation:
    """Explain an app that the node runs once its rollout, by those words, has reached it."""
    found = _not_wanted(app, AppOutcome.PENDING, Reason.WAITS_FOR_ROLLOUT, rollout)
    return replace(found, rollout=rollout)


def unselected(facts: ExplainFacts, app: App) -> AppExplanation:
    """Explain an app that the node should not run and does not."""
    words = mismatch(app, facts.node.labels)
    return _not_wanted(app, AppOutcome.UNSELECTED, Reason.SELECTOR_MISMATCH, words)


def _not_wanted(app: App, outcome: AppOutcome, reason: Reason, message: str) -> AppExplanation:
    return AppExplanation(
        name=app.name,
        is_system=False,
        wanted=None,
        reported=None,
        running=None,
        status="",
        cause="",
        outcome=outcome,
        wanted_at=app.updated,
        sent=None,
        acknowledged=None,
        reported_at=None,
        reason=reason,
        message=message,
    )


def mismatch(app: App, labels: Mapping[str, str]) -> str:
    """Why *app* is not for a node with *labels*, in words; every term that does not match."""
    if not app.selector:
        return f"{app.name} has no selector: it is for no node"
    wrong = [_term_mismatch(term, labels) for term in app.selector if not term.holds_for(labels)]
    if not wrong:
        return f"{app.name} is for this node"
    shown = [f"{key}={value}" for key, value in sorted(labels.items())]
    more = ", ..." if len(shown) > _LABELS_SHOWN else ""
    return (
        f"{app.name} is not for this node: {'; '.join(wrong)}."
        f" The node's labels are {', '.join(shown[:_LABELS_SHOWN])}{more}"
    )


def _term_mismatch(term: Term, labels: Mapping[str, str]) -> str:
    has = f"the node's is {labels[term.key]!r}" if term.key in labels else "the node has none"
    return f"its selector asks for {_term_text(term)}, and {has}"


def _term_text(term: Term) -> str:
    values = ", ".join(term.values)
    match term.operator:
        case Operator.IN if len(term.values) == 1:
            return f"{term.key}={values}"
        case Operator.IN:
            return f"{term.key} in ({values})"
        case Operator.NOT_IN if len(term.values) == 1:
            return f"{term.key}!={values}"
        case Operator.NOT_IN:
            return f"{term.key} notin ({values})"
        case Operator.EXISTS:
            return f"a label {term.key}"
        case Operator.MISSING:
            return f"no label {term.key}"
        case Operator.GREATER:
            return f"{term.key}>{values}"
        case Operator.LESS:
            return f"{term.key}<{values}"


def _explained(
    facts: ExplainFacts, wanted: Sequence[AppVersion], *, is_system: bool
) -> Iterator[AppExplanation]:
    report = facts.report
    apps = report.reported if report else None
    reported = (apps.sysapps if is_system else apps.apps) if apps else None
    held: dict[str, list[str]] = {}
    for app in reported or ():
        held.setdefault(app.name, []).append(app.version)
    for app in wanted:
        yield _wanted(facts, app, held.pop(app.name, []), is_system=is_system)
    if is_system and not wanted:
        return  # what an agent came with is left alone
    for name, versions in held.items():
        yield _unwanted(facts, name, versions[0], is_system=is_system)


def _wanted(
    facts: ExplainFacts, app: AppVersion, held: Sequence[str], *, is_system: bool
) -> AppExplanation:
    stats = _stats_of(facts, app.name)
    sent = [deploy for deploy in facts.deploys if app in (*deploy.apps, *deploy.sysapps)]
    # Only the last desired state sent may still come about.
    is_sent = bool(sent) and sent[0] is facts.deploys[0]
    outcome, reason, message = _verdict(facts, app, held, stats, sent[0] if is_sent else None)
    # An app that does not change is not sent again: the first time counts.
    first = sent[-1] if is_sent else None
    acknowledged = [deploy.acknowledged for deploy in sent if deploy.acknowledged]
    reported = app.version if app.version in held else next(iter(held), None)
    return AppExplanation(
        app.name,
        is_system,
        app.version,
        reported,
        runs_instead(stats) or reported,
        stats.status if stats else "",
        (stats.cause or "") if stats else "",
        outcome,
        facts.changed.get(app.name),
        first.sent if first else None,
        acknowledged[-1] if acknowledged and is_sent else None,
        facts.heard.report if facts.heard and held else None,
        reason,
        message,
    )


_Verdict = tuple[AppOutcome, Reason, str]


def _verdict(
    facts: ExplainFacts,
    app: AppVersion,
    held: Sequence[str],
    stats: AppStats | None,
    deploy: Deploy | None,
) -> _Verdict:
    has_taken_over = list(held) == [app.version]
    if has_taken_over and _is_up(facts, app, stats):
        if facts.is_revoked:
            return AppOutcome.PENDING, Reason.REVOKED, f"{_REVOKED}; it {_running(facts)}"
        return AppOutcome.CONVERGED, Reason.RUNNING, _running(facts)
    if has_taken_over and runs_instead(stats) and (cause := failure_of(app, stats)):
        return AppOutcome.FAILED, Reason.APP_FAILED, cause
    if app.name in facts.withheld and not has_taken_over and not facts.is_revoked:
        return AppOutcome.PENDING, Reason.SECRETS_WITHHELD, f"{WITHHELD_WORDS}{_still(held)}"
    if cause := failure_of(app, stats) if has_taken_over else _refusal(facts, app, deploy):
        words = "the node reports that it failed" if has_taken_over else "the node cannot apply it"
        still = "" if has_taken_over else _still(held)
        return AppOutcome.FAILED, Reason.APP_FAILED, f"{words}: {cause}{still}"
    reason, message = (
        _hindered(facts, _when(facts, app.name), deploy)
        or _expired(facts, deploy)
        or _under_way(facts, deploy, has_taken_over=has_taken_over)
    )
    return AppOutcome.PENDING, reason, message


def _still(held: Sequence[str]) -> str:
    return f"; it runs version {held[0]} still" if held else ""


def _refusal(facts: ExplainFacts, app: AppVersion, deploy: Deploy | None) -> str:
    """Why the node could not apply *app*, by its reports since it was sent."""
    if deploy is None or facts.report is None or facts.heard is None:
        return ""
    if not deploy.is_open or facts.heard.report <= deploy.sent:
        return ""
    return deploy.refused(facts.report, facts.heard.report).get(app.name, "")


def _unwanted(facts: ExplainFacts, name: str, version: str, *, is_system: bool) -> AppExplanation:
    stats = _stats_of(facts, name)
    hindered = _hindered(facts, "it is not wanted any more", None)
    reason, message = hindered or (
        Reason.REMOVING,
        "it is not wanted any more; the node still names it in its report of"
        f" {_time(facts, facts.heard.report if facts.heard else None)}",
    )
    return AppExplanation(
        name,
        is_system,
        None,
        version,
        runs_instead(stats) or version,
        stats.status if stats else "",
        (stats.cause or "") if stats else "",
        AppOutcome.REMOVING,
        None,
        None,
        None,
        facts.heard.report if facts.heard else None,
        reason,
        message,
    )


def _hindered(facts: ExplainFacts, change: str, deploy: Deploy | None) -> tuple[Reason, str] | None:
    """The reason in the node itself that delays everything."""
    if facts.is_revoked:
        return Reason.REVOKED, f"{_REVOKED}; {change}"
    if only_init := _only_init(facts):
        return Reason.ONLY_INIT_REPORTS, only_init
    if facts.heard is None:
        return (
            Reason.NEVER_ACTIVATED,
            "the node has never reported: it is not activated, or could not connect since",
        )
    if facts.node.mode is Mode.LOCAL:
        return (
            Reason.LOCAL_MODE,
            f"the node is in local mode: it gets no updates until that ends; {change}",
        )
    if facts.node_status.is_ready:
        return None
    state = "offline" if facts.node_status.state is NodeState.OFFLINE else "silent"
    since = _time(facts, facts.node_status.since)
    last = _time(facts, facts.heard.last)
    if deploy is None:
        rest = "it will be updated when it returns"
    elif deploy.outcome is DeployOutcome.EXPIRED:
        rest = (
            f"the update sent at {_time(facts, deploy.sent)} expired at"
            f" {_time(facts, deploy.ended)}; it will be updated again when it returns"
        )
    else:
        rest = f"the update was sent at {_time(facts, deploy.sent)}, with no result reported yet"
    message = f"{state} since {since} (heard last at {last}), {change}; {rest}"
    return Reason.OFFLINE_SINCE, message


def _only_init(facts: ExplainFacts) -> str:
    """The missing part of a stock agent whose core does not report; empty if none is missing."""
    if facts.init_heard is None or facts.node_status.is_ready:
        return ""
    last = facts.heard.last if facts.heard else None
    if last is not None and last >= facts.init_heard:
        return ""
    core = f"was heard last at {_time(facts, last)}" if last else "never has"
    return (
        f"only baetyl-init reports (last at {_time(facts, facts.init_heard)}); baetyl-core, which"
        f" runs the apps, {core}: see its log on the machine"
    )


def _expired(facts: ExplainFacts, deploy: Deploy | None) -> tuple[Reason, str] | None:
    if deploy is None or deploy.outcome is not DeployOutcome.EXPIRED:
        return None
    return (
        Reason.EXPIRED,
        f"the update was sent at {_time(facts, deploy.sent)} and not applied within"
        f" {EXPIRES_AFTER.days} days; it expired at"
        f" {_time(facts, deploy.ended)}, though the node reports",
    )


def _under_way(
    facts: ExplainFacts, deploy: Deploy | None, *, has_taken_over: bool
) -> tuple[Reason, str]:
    """How far a node has come that is online and may be updated."""
    last = facts.heard.report if facts.heard else None
    if has_taken_over:
        return (
            Reason.STARTING,
            f"the node has applied it and does not report it as running yet (report of"
            f" {_time(facts, last)})",
        )
    if deploy is None:
        how = "it is next in the queue" if facts.is_stale else "with its next report"
        return Reason.NOT_SENT, f"the update has not been sent yet: {how}"
    if last is not None and last <= deploy.sent:
        return (
            Reason.REPORT_OLDER_THAN_PUSH,
            f"the update was sent at {_time(facts, deploy.sent)}; the last report came before that,"
            f" at {_time(facts, last)}",
        )
    return (
        Reason.FETCHING,
        f"the update was sent at {_time(facts, deploy.sent)}; the node reported since, at"
        f" {_time(facts, last)}, without it: it is fetching it, or cannot",
    )


def _running(facts: ExplainFacts) -> str:
    if facts.node_status.is_ready or facts.heard is None:
        return "runs as wanted"
    return f"ran as wanted when the node was heard last, at {_time(facts, facts.heard.last)}"


def _is_up(facts: ExplainFacts, app: AppVersion, stats: AppStats | None) -> bool:
    """A node without app states counts as running what it named, as for deploys."""
    if facts.report is None or facts.report.stats is None:
        return True
    return stats is not None and stats.version == app.version and stats.status in UP


def _stats_of(facts: ExplainFacts, name: str) -> AppStats | None:
    stats = (facts.report.stats if facts.report else None) or ()
    return next((own for own in stats if own.name == name), None)


def _when(facts: ExplainFacts, name: str) -> str:
    changed = facts.changed.get(name)
    return f"the change was made at {_time(facts, changed)}" if changed else "it is wanted"


def _time(facts: ExplainFacts, moment: datetime | None) -> str:
    if moment is None:
        return "some time"
    today = moment.date() == facts.now.date()
    return f"{moment:%H:%M:%S}" if today else f"{moment:%Y-%m-%d %H:%M:%S}"


def _summary(facts: ExplainFacts, apps: Sequence[AppExplanation], *, is_converged: bool) -> str:
    if is_converged:
        return "runs all that is wanted" if apps else "nothing is wanted of it, and it runs nothing"
    open_ones = [app for app in apps if app.outcome is not AppOutcome.CONVERGED]
    if not open_ones and facts.is_revoked:
        return _REVOKED
    if not open_ones:
        hindered = _hindered(facts, "its properties are not as wanted", None)
        return hindered[1] if hindered else "its properties are not as wanted yet"
    first = min(open_ones, key=lambda app: app.outcome is not AppOutcome.FAILED)
    done = len(apps) - len(open_ones)
    return f"{done} of {len(apps)} apps are as wanted; {first.name}: {first.message}"
