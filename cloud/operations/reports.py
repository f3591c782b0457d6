"""Reports of nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from cloud.core.core_configuration import Mode
from cloud.core.delta import Delta, delta_for, everything
from cloud.core.deploys import DEPLOYS_KEPT, Deploy
from cloud.core.desired import Catalog, Desired
from cloud.core.names import split_node_id
from cloud.core.properties import Properties
from cloud.core.readiness import DEFAULT_CADENCE, next_cadence, node_status
from cloud.core.report import Report, Reported, Reporter
from cloud.core.rollout_offers import with_offers
from cloud.core.sources import CORE, INIT, lacks_core, with_core_of, with_system_apps_of
from cloud.core.usage import DEFAULT_USAGE_STEP
from cloud.errors import NotFound
from cloud.operations.deploys import record_deploy_report, record_push
from cloud.operations.desired_apps import assigned_to_each
from cloud.operations.encryption_keys import receive_key
from cloud.operations.events import record_drift_event, record_heard
from cloud.operations.offers import offers_of, record_answers
from cloud.operations.properties import keep_properties
from cloud.operations.rollout_evidence import progress_of, record_progress, record_sending
from cloud.operations.running import record_running
from cloud.operations.system_apps import desired_of
from cloud.operations.usage import record_usage
from cloud.store.parts.assignments import NodeAssignments
from cloud.store.transaction import Transaction


class ReportReply(msgspec.Struct, frozen=True):
    """The response to a report: the delta, and unknown resources that the report names.

    *ended* is the deploy that has converged or failed with it.
    """

    delta: Delta
    warning: str = ""
    ended: Deploy | None = None


@dataclass(frozen=True, slots=True)
class DesiredUpdate:
    """A delta for a node that did not ask, in the encoding it last used.

    It follows from what was *reported*, and from what is *assigned* to the node and so *desired*.
    """

    node_id: str
    encoding: str
    delta: Delta
    reported: Reported
    desired: Desired
    assigned: NodeAssignments


def receive_report(
    tx: Transaction,
    node_id: str,
    report: Report,
    encoding: str,
    *,
    now: datetime,
    source: str = "",
    interval: timedelta | None = None,
    deploys_kept: int = DEPLOYS_KEPT,
    usage_step: timedelta = DEFAULT_USAGE_STEP,
) -> ReportReply:
    """Keep *report*, unless it is older than the stored one, and return the delta for the node.

    *source* is the process of a stock agent that reports (`core.sources`), empty for native nodes,
    *interval* the time between its reports, if named. What it uses is noted once in a
    *usage_step*.
    NotFound if the node was deleted, Invalid if its encryption key is not proved; nothing is stored
    then.
    """
    namespace, name = split_node_id(node_id)
    reporter = tx.reporter(namespace, name)
    if reporter is None:
        raise NotFound("node", name)
    receive_key(tx, node_id, report.encryption, reporter.encryption, now=now)
    is_new = reporter.last is None or not report.order.is_older_than(reporter.last)
    if source == INIT:
        is_new = False
        _keep_system_apps(tx, namespace, name, report)
        if not node_status(reporter.heard, now).is_ready:
            tx.put_init_heard(namespace, name, now)
    elif is_new:
        if source == CORE and lacks_core(report) and (last := tx.report(namespace, name)):
            report = with_core_of(last.report, report)
        sent = reporter.core.report_every
        cadence = next_cadence(reporter.heard, now, sent=sent, reported=interval)
        tx.put_report(namespace, name, report, encoding, now, cadence)
        if not reporter.is_ready:
            record_heard(tx, namespace, name, cadence, now=now)
        record_drift_event(tx, namespace, name, report.stats or (), now=now)
        if report.properties is not None:
            keep_properties(tx, namespace, name, reporter.properties, report.properties, now=now)
    catalog = tx.catalog(namespace)
    desired = desired_of(tx, namespace, name, reporter.labels, report)
    refused = _refused(tx, namespace, name, reporter, report, desired, now)
    if is_new:
        record_running(tx, namespace, name, report, desired, reporter, refused)
        record_usage(
            *(tx, namespace, name, report.document),
            noted=reporter.usage_step,
            now=now,
            step=usage_step,
        )
    delta = _delta(tx, namespace, name, reporter, report, desired)
    is_update = bool(delta)
    record_answers(tx, namespace, name, (report.offers or ()) if is_new else ())
    delta = _with_offers(tx, (namespace, name), delta, reporter, report, desired, now)
    ended = None
    before = progress_of(tx, namespace, name)
    if is_new and (is_update or reporter.has_open_deploy):
        ended = record_deploy_report(
            tx, namespace, name, report, desired, is_update=is_update, now=now, kept=deploys_kept
        )
    shown = report if is_new else None
    record_progress(tx, namespace, name, before, shown, refused, is_update=is_update, now=now)
    return ReportReply(delta, _unknown_app(report.reported, catalog), ended)


def receive_usage(
    tx: Transaction,
    node_id: str,
    usage: bytes,
    *,
    now: datetime,
    usage_step: timedelta = DEFAULT_USAGE_STEP,
) -> None:
    """Keep *usage* beside the node's last report; dropped before the first one.

    NotFound if the node was deleted.
    """
    namespace, name = split_node_id(node_id)
    noted = tx.put_usage(namespace, name, usage, now)
    if noted is not None:
        record_usage(tx, namespace, name, None, usage, noted=noted, now=now, step=usage_step)
    elif tx.node(namespace, name) is None:
        raise NotFound("node", name)


def deltas_for(
    tx: Transaction, nodes: Sequence[tuple[str, str]], *, now: datetime
) -> list[DesiredUpdate]:
    """The update for each of *nodes* (namespace, name) at *now*, by its last report.

    A node that has nothing to change, is gone, never reported or is in local mode is left out.
    """
    pushes = []
    tx.expect_nodes(nodes)
    for (namespace, name), assigned in zip(nodes, assigned_to_each(tx, nodes), strict=True):
        node, stored = tx.node(namespace, name), tx.report(namespace, name)
        if node is None or stored is None or node.mode is Mode.LOCAL:
            continue
        desired = desired_of(tx, namespace, name, node.labels, stored.report, assigned.versions)
        properties = tx.properties(namespace, name)
        delta = delta_for(stored.report, desired, properties)
        delta = delta or _reverting(tx, namespace, name, desired, properties)
        if stored.report.offers is not None:
            offers = offers_of(tx, namespace, name, node.labels, now=now)
            delta = with_offers(delta, stored.report, desired, properties, offers)
        if delta:
            reported = stored.report.reported
            pushes.append(
                DesiredUpdate(node.id, stored.encoding, delta, reported, desired, assigned)
            )
    return pushes


def record_sent(
    tx: Transaction,
    pushes: Sequence[DesiredUpdate],
    *,
    now: datetime,
    deploys_kept: int = DEPLOYS_KEPT,
) -> None:
    """Record the *pushes* as sent; one that is gone is left out."""
    tx.expect_nodes([split_node_id(push.node_id) for push in pushes])
    for push in pushes:
        namespace, name = split_node_id(push.node_id)
        begun = record_push(
            *(tx, namespace, name, push.reported, push.desired), now=now, kept=deploys_kept
        )
        if push.assigned.rows:
            record_sending(tx, namespace, name, push.assigned, begun, now)


def _delta(
    tx: Transaction,
    namespace: str,
    name: str,
    reporter: Reporter,
    report: Report,
    desired: Desired,
) -> Delta:
    """The delta for *report*; empty in local mode."""
    if reporter.mode is Mode.LOCAL:
        return {}
    delta = delta_for(report, desired, reporter.properties)
    if not delta and reporter.has_open_deploy:
        return _reverting(tx, namespace, name, desired, reporter.properties)
    return delta


def _refused(
    tx: Transaction,
    namespace: str,
    name: str,
    reporter: Reporter,
    report: Report,
    desired: Desired,
    now: datetime,
) -> Mapping[str, str]:
    """Name and cause of each app that is *desired*, and that the node could not take over."""
    deploy = tx.open_deploy(namespace, name) if reporter.has_open_deploy else None
    return deploy.refused(report, now) if deploy and deploy.is_of(desired) else {}


def _with_offers(
    tx: Transaction,
    place: tuple[str, str],
    delta: Delta,
    reporter: Reporter,
    report: Report,
    desired: Desired,
    now: datetime,
) -> Delta:
    """*delta* with what the node is offered; nothing in local mode, or if it knows no offers."""
    if report.offers is None or reporter.mode is Mode.LOCAL:
        return delta
    offers = offers_of(tx, *place, reporter.labels, now=now)
    return with_offers(delta, report, desired, reporter.properties, offers)


def _reverting(
    tx: Transaction, namespace: str, name: str, desired: Desired, properties: Properties
) -> Delta:
    """The delta that reverts one that the node has not applied yet, once it is wanted no more.

    By its report there is nothing to change; stock agents would go on trying, and fail for ever.
    """
    last = tx.open_deploy(namespace, name)
    return everything(desired, properties) if last and not last.is_of(desired) else {}


def _keep_system_apps(tx: Transaction, namespace: str, name: str, init: Report) -> None:
    """Keep the system apps of *init* beside the last report of the core, which stays as old.

    Nothing is stored before the first report of the core.
    """
    if last := tx.report(namespace, name):
        report = with_system_apps_of(init, last.report)
        cadence = heard.cadence if (heard := tx.heard(namespace, name)) else DEFAULT_CADENCE
        tx.put_report(namespace, name, report, last.encoding, last.received, cadence)


def _unknown_app(reported: Reported, catalog: Catalog) -> str:
    """Name the first reported app that is not there (an old one, most likely)."""
    for index, app in enumerate(reported.apps or ()):
        if app.name not in catalog.apps:
            return f"content.apps[{index}].name: no app {app.name[:80]!r} in this namespace"
    return ""
