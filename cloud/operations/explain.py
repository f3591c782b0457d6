"""All facts about one node that its explanation needs."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from cloud.core.app import App, uses_of
from cloud.core.desired import selects
from cloud.core.encryption_key import SEALED_IF_POSSIBLE, SealingPolicy, SecretDelivery
from cloud.core.explain import (
    AppOutcome,
    ExplainFacts,
    Explanation,
    awaiting_rollout,
    explained,
    mismatch,
    unselected,
)
from cloud.core.kinds import REGISTRY, SECRET
from cloud.core.node import SeenNode
from cloud.core.readiness import node_status
from cloud.core.report import Report, StoredReport, read_report
from cloud.core.rollout_explain import rollout_words, without_names
from cloud.errors import NotFound
from cloud.operations.deploys import deploys_of_node
from cloud.operations.nodes import read_node
from cloud.operations.rollouts import waits_of_node
from cloud.operations.secret_sources import unreadable_words
from cloud.operations.system_apps import desired_of
from cloud.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class ExplainedNode:
    """A node, and why its apps are where they are."""

    seen: SeenNode
    explanation: Explanation


def explain_node(
    tx: Transaction,
    namespace: str,
    name: str,
    *,
    now: datetime,
    app: str = "",
    names_others: bool = True,
    sealing: SealingPolicy = SEALED_IF_POSSIBLE,
) -> ExplainedNode:
    """Explain all apps of the node, or only *app*, whether it is for the node or not.

    With *names_others* a wait for other nodes names them. Secrets are delivered by *sealing*.

    NotFound if there is no such node; or no such app, and the node names none.
    """
    facts, seen = _facts(tx, namespace, name, now, sealing)
    waits = _with_rollouts(tx, facts, explained(facts), names_others=names_others)
    explanation = _with_secrets(tx, facts, waits)
    return ExplainedNode(seen, _only(tx, facts, explanation, app) if app else explanation)


def _facts(
    tx: Transaction, namespace: str, name: str, now: datetime, sealing: SealingPolicy
) -> tuple[ExplainFacts, SeenNode]:
    seen, stored = read_node(tx, namespace, name), tx.report(namespace, name)
    report = stored.report if stored else None
    desired = desired_of(tx, namespace, name, seen.node.labels, report)
    catalog = tx.catalog(namespace)
    found = [own for app in desired.apps if (own := catalog.app_at(app)) is not None]
    changed = {app.name: app.updated for app in found}
    if catalog.system is not None:
        changed |= {app.name: catalog.system.updated for app in desired.sysapps}
    is_withheld = sealing.delivery(namespace, seen.encryption) is SecretDelivery.WITHHELD
    facts = ExplainFacts(
        seen.node,
        now,
        node_status(seen.heard, now, is_revoked=seen.is_revoked),
        seen.heard,
        seen.is_revoked,
        desired,
        tx.properties(namespace, name),
        changed,
        _whole(stored) if stored else None,
        deploys_of_node(tx, namespace, name, now=now),
        tx.is_pending(namespace, name),
        tx.init_heard(namespace, name),
        _mounting_secrets(found) if is_withheld else (),
    )
    return facts, seen


def _mounting_secrets(apps: Iterable[App]) -> frozenset[str]:
    """Names of the *apps* that mount a secret or pull with a registry."""
    return frozenset(
        app.name for app in apps if any(use.kind in {SECRET, REGISTRY} for use in uses_of(app.spec))
    )


def _with_rollouts(
    tx: Transaction,
    facts: ExplainFacts,
    found: Explanation,
    *,
    names_others: bool,
) -> Explanation:
    """*found* with what the node waits for in the rollouts of its apps."""
    namespace, node = facts.node.namespace, facts.node
    governed = tx.catalog(namespace).governed
    apps = [name for name, own in governed.items() if selects(own.app, node.labels)]
    rows = tx.assignments_of_node(namespace, node.name) if apps else {}
    waits = waits_of_node(tx, namespace, node.name, apps, now=facts.now)
    words = {}
    for app, wait in waits.items():
        both = (governed[app].rollout, wait)
        shown = both if names_others else without_names(*both)
        words[app] = rollout_words(*shown, rows.get(app), node.labels, facts.now)
    if not words:
        return found
    known = [
        replace(one, rollout=own, message=f"{one.message}; {own}")
        if (own := words.get(one.name))
        else one
        for one in found.apps
    ]
    missing = sorted(words.keys() - {one.name for one in found.apps})
    more = [awaiting_rollout(governed[app].app, words[app]) for app in missing]
    notes = "; ".join(f"{app}: {text}" for app, text in sorted(words.items()))
    message = f"{found.message}; {notes}"
    return replace(found, apps=[*known, *more], message=message)


def _with_secrets(tx: Transaction, facts: ExplainFacts, found: Explanation) -> Explanation:
    """*found* with the secrets that cannot be read, of apps that the node does not run yet."""
    words: dict[str, str] = {}
    for one in found.apps:
        app = tx.app(facts.node.namespace, one.name)
        if app is not None and one.outcome in {AppOutcome.PENDING, AppOutcome.FAILED}:
            words[one.name] = "".join(f"; {reason}" for reason in unreadable_words(tx, app))
    apps = [replace(one, message=one.message + words.get(one.name, "")) for one in found.apps]
    return replace(found, apps=apps, message=found.message + "".join(dict.fromkeys(words.values())))


def _whole(stored: StoredReport) -> Report:
    """The report as it came: what is stored of it apart leaves out how its apps do."""
    report = read_report(msgspec.json.decode(stored.report.document), stored.report.order)
    return msgspec.structs.replace(report, reported=stored.report.reported)


def _only(tx: Transaction, facts: ExplainFacts, explanation: Explanation, name: str) -> Explanation:
    app = tx.catalog(facts.node.namespace).apps.get(name)
    found = [one for one in explanation.apps if one.name == name]
    if not found and app is not None:
        found = [unselected(facts, app)]
    if not found:
        raise NotFound("app", name)
    if app is not None and found[0].outcome is AppOutcome.REMOVING:
        why = mismatch(app, facts.node.labels)
        found = [replace(found[0], message=f"{found[0].message}; {why}")]
    return replace(explanation, apps=found, message=found[0].message)
