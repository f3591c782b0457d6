"""Plans: the effect of a change, found by doing it in a transaction that is rolled back.

So a plan and the change it is of cannot disagree. Whom it reaches is read off the list of nodes to
be notified, which the change itself writes.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NoReturn, TypeVar

import msgspec

from cloud.core.app import App, AppVersion, Use, uses_of
from cloud.core.audit import Attempt, kind_of
from cloud.core.batch import Record
from cloud.core.comparison import changes_between
from cloud.core.delivery import USED, app_value, config_value, used_value
from cloud.core.desired import Catalog
from cloud.core.guard import OFF, ChangeGuard, GuardSpec, checked_guard_spec
from cloud.core.node import Node
from cloud.core.plan import NAMES_SHOWN, AppChange, NodeGains, Plan, PlanAction, Reach
from cloud.core.readiness import Heard, node_status
from cloud.core.resource import Noun, VersionedResource, hidden_content
from cloud.core.system_apps import (
    SystemApps,
    is_for,
    module_of,
    system_config,
)
from cloud.errors import ConfirmationRequired
from cloud.operations.change_tracking import ChangeTracker
from cloud.operations.desired_apps import assigned_to
from cloud.operations.planned_rollouts import nodes_at_once, planned_rollouts
from cloud.operations.system_apps import system_apps_of
from cloud.store.transaction import Transaction

T = TypeVar("T")

Work = Callable[[Transaction], T]
Changes = Sequence[tuple[tuple[str, ...], Noun | None, Noun | None]]

_NODE = "node"
_SYSTEM = "sysapps"
_CERTIFICATE = "certificate"

_Given = Mapping[str, Sequence[tuple[AppChange, int]]]
"""By name of the node: which system apps change, and bytes of each."""


class DryRunComplete(Exception):  # nothing went wrong
    """Raised to roll everything back, once the *plan* is known."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.plan = plan


@dataclass(frozen=True, slots=True)
class _Done:
    """The result of the work, and the state before it."""

    tx: Transaction
    namespace: str
    kind: str
    before: Catalog
    heard: Heard | None
    """When the one node was heard, where the work is about one."""
    changes: Changes
    shut_out: str
    """Name of the node whose certificates were revoked; empty where none were."""
    held: Sequence[str]
    """Nodes that had pending updates before."""

    @property
    def after(self) -> Catalog:
        return self.tx.catalog(self.namespace)

    @property
    def change(self) -> tuple[Noun | None, Noun | None]:
        """The one thing of the kind that was changed, before and after."""
        return self.changes[0][1:] if len(self.changes) == 1 else (None, None)


def dry_run(tx: Transaction, attempt: Attempt, work: Work[object]) -> NoReturn:
    """Do *work* and raise DryRunComplete with what it did, or whatever it is refused with."""
    tracker = ChangeTracker(tx, kind_of(attempt.action))
    done, _ = _carried_out(tx, attempt, tracker, work)
    given: _Given = {}
    if done.kind == _SYSTEM:
        given = _of_system(done)
        reach, apps, size = _reached(done, given, attempt.time), *_affected_apps(given)
    elif done.kind == _NODE:
        given = _of_nodes(done)
        reach, apps, size = _reach(done, attempt.time), *_affected_apps(given)
    else:
        reach = _reach(done, attempt.time)
        apps, size = _of_apps(done)
    was, now = done.change
    name = "/".join(done.changes[0][0][1:]) if len(done.changes) == 1 else attempt.name
    raise DryRunComplete(
        Plan(
            done.kind,
            name,
            _action(attempt, tracker, was, now),
            changes_between(_content(was), _content(now)),
            reach,
            apps,
            size,
            asks=_guard_of(tx, attempt.namespace).asks(_at_once(done, tracker, reach), reach.total),
            rollouts=planned_rollouts(tx, attempt.namespace, done.before, now=attempt.time),
            count=max(len(done.changes), 1),
            gains=_gains(given) if done.kind == _NODE else (),
        )
    )


def guarded(
    tx: Transaction, attempt: Attempt, tracker: ChangeTracker, work: Work[T], *, is_confirmed: bool
) -> tuple[T, int]:
    """Do *work*, unless it touches more nodes than the guard of its namespace lets through.

    Its result, and how many nodes it touched where the guard asked and it was *confirmed*, else 0.
    ConfirmationRequired where it was not.
    """
    guard = _guard_of(tx, attempt.namespace)
    if not guard.is_on:
        return work(tracker.transaction), 0
    done, result = _carried_out(tx, attempt, tracker, work)
    reach = _reach(done, attempt.time)
    tx.restore_pending(attempt.namespace, done.held)
    touched = _at_once(done, tracker, reach)
    if not guard.asks(touched, reach.total):
        return result, 0
    if not is_confirmed:
        raise ConfirmationRequired(touched, reach.total, guard.max_share)
    return result, touched


def _at_once(done: _Done, tracker: ChangeTracker, reach: Reach) -> int:
    """The nodes that the guard counts: of a rollout only those of its first stage.

    The others follow once these show that the version works.
    """
    if not tracker.others["rollout"]:
        return reach.touched
    more = nodes_at_once(done.tx, done.namespace, done.before)
    return min(reach.touched + more, reach.total)


def read_guard(tx: Transaction, namespace: str) -> ChangeGuard:
    """The guard of the namespace; off by default."""
    return tx.guard(namespace) or ChangeGuard(namespace, OFF)


def put_guard(tx: Transaction, namespace: str, spec: GuardSpec) -> ChangeGuard:
    """Require confirmation of changes above the limits of *spec*."""
    guard = ChangeGuard(namespace, checked_guard_spec(spec))
    tx.put_guard(guard)
    return guard


def _guard_of(tx: Transaction, namespace: str) -> GuardSpec:
    return read_guard(tx, namespace).spec


def _carried_out(
    tx: Transaction, attempt: Attempt, tracker: ChangeTracker, work: Work[T]
) -> tuple[_Done, T]:
    kind, namespace = kind_of(attempt.action), attempt.namespace
    before = tx.catalog(namespace)
    heard = tx.heard(namespace, attempt.name) if kind == _NODE else None
    held = tx.hold_pending(namespace)
    result = work(tracker.transaction)
    changes = tracker.changes()
    shut_out = _shut_out(tx, attempt, tracker, changes)
    return _Done(tx, namespace, kind, before, heard, changes, shut_out, held), result


def _shut_out(tx: Transaction, attempt: Attempt, tracker: ChangeTracker, changes: Changes) -> str:
    """The node that loses its certificates and stays: revoked, or its record reset."""
    if not tracker.others[_CERTIFICATE]:
        return ""
    record = changes[0][1] if len(changes) == 1 else None
    name = record.node_name if isinstance(record, Record) else attempt.name
    return name if tx.node(attempt.namespace, name) is not None else ""


def _reach(done: _Done, now: datetime) -> Reach:
    """The nodes with pending updates by now, or the one node that changed."""
    if done.kind == _SYSTEM:
        return _reached(done, _of_system(done), now)
    reach = done.tx.pending_reach(done.namespace, now=now, names=NAMES_SHOWN)
    was, became = done.change
    node = was or became
    if not isinstance(node, Node):
        if done.kind == _NODE and done.changes:
            changed = [key[-1] for key, *both in done.changes if not _runs_the_same(done, *both)]
            return _reached(done, changed, now)
        return _reached(done, [done.shut_out], now) if done.shut_out else reach
    total = reach.total + (became is None)
    if _runs_the_same(done, was, became):
        return Reach(0, 0, total)
    heard = done.tx.heard(done.namespace, node.name) if became else done.heard
    return Reach(1, int(not node_status(heard, now).is_ready), total, [node.name])


def _reached(done: _Done, names: Collection[str], now: datetime) -> Reach:
    """The nodes of these names."""
    tx, namespace = done.tx, done.namespace
    away = sum(not node_status(tx.heard(namespace, name), now).is_ready for name in names)
    total = tx.pending_reach(namespace, now=now, names=0).total
    return Reach(len(names), away, total, sorted(names)[:NAMES_SHOWN])


def _of_system(done: _Done) -> _Given:
    """The effect of another list of system apps on each node that it affects.

    It follows from what each node has already, so that every node that is given any is looked at.
    """
    was, now = done.before.system, done.after.system
    given: dict[str, Sequence[tuple[AppChange, int]]] = {}
    for node in done.tx.nodes(done.namespace):
        if any(system is not None and is_for(system, node) for system in (was, now)):
            changes = _system_changes(done, node, node)
            if changes:
                given[node.name] = changes
    return given


def _system_changes(done: _Done, was: Node, became: Node) -> Sequence[tuple[AppChange, int]]:
    """The system apps that one node gains and loses, each with its bytes."""
    if done.before.system is None and done.after.system is None:
        return ()
    before = _system_apps_of(done.tx, done.before.system, was)
    after = _system_apps_of(done.tx, done.after.system, became)
    return [
        _system_change(done.after.system, became, before.get(name), after.get(name))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]


def _system_apps_of(tx: Transaction, system: SystemApps | None, node: Node) -> Mapping[str, App]:
    return {} if system is None else {app.name: app for app in system_apps_of(tx, system, node)}


def _system_change(
    system: SystemApps | None, node: Node, was: App | None, now: App | None
) -> tuple[AppChange, int]:
    """One system app of one node, called as its part is: each node has it by another name."""
    name = next(module_of(app.name).value for app in (was, now) if app is not None)
    change = AppChange(name, was.version if was else None, "" if now else None, 1)
    if system is None or now is None:
        return change, 0
    config = system_config(system, node, now)
    size = _bytes(config_value(config, lambda _: "")) if config else 0
    return change, size + _bytes(app_value(now, lambda _kind, _name: ""))


def _affected_apps(given: _Given) -> tuple[list[AppChange], int]:
    """The same over all nodes."""
    alike: Counter[AppChange] = Counter()
    size = 0
    for changes in given.values():
        for change, own in changes:
            alike[change] += 1
            size += own
    return [replace(change, nodes=count) for change, count in alike.items()], size


def _runs_the_same(done: _Done, was: Noun | None, became: Noun | None) -> bool:
    if not (isinstance(was, Node) and isinstance(became, Node)):
        return False
    ways = [(node.mode, node.core) for node in (was, became)]
    is_same = ways[0] == ways[1] and _desired(done.tx, done.before, was) == _desired(
        done.tx, done.after, became
    )
    return is_same and not _system_changes(done, was, became)


def _desired(tx: Transaction, catalog: Catalog, node: Noun | None) -> Mapping[str, str]:
    """Version by name of each app that the node should run."""
    if not isinstance(node, Node):
        return {}
    assigned = assigned_to(tx, node.namespace, node.name)
    return {app.name: app.version for app in catalog.desired_state(node.labels, assigned).apps}


def _of_nodes(done: _Done) -> _Given:
    """By name of each node that was changed: the apps that it gains and loses."""
    sizes: dict[AppVersion, int] = {}
    return {key[-1]: _of_node(done, was, became, sizes) for key, was, became in done.changes}


def _of_node(
    done: _Done, was: Noun | None, became: Noun | None, sizes: dict[AppVersion, int]
) -> Sequence[tuple[AppChange, int]]:
    """The apps that one node gains and loses, each with its bytes; *sizes* has those of others."""
    before, after = _desired(done.tx, done.before, was), _desired(done.tx, done.after, became)
    apps = []
    for name in {**before, **after}:
        change = AppChange(name, before.get(name), after.get(name), 1)
        if change.before != change.after:
            apps.append((change, _size_of(done, change, sizes)))
    if isinstance(was, Node) and isinstance(became, Node):
        apps += _system_changes(done, was, became)
    return apps


def _size_of(done: _Done, change: AppChange, sizes: dict[AppVersion, int]) -> int:
    if change.after is None:
        return 0
    version = AppVersion(change.name, change.after)
    if version not in sizes:
        app = done.after.app_at(version)
        sizes[version] = _Sizes(done, frozenset()).of_app(app, None) if app else 0
    return sizes[version]


def _gains(given: _Given) -> Sequence[NodeGains]:
    """What the first nodes by name gain and lose."""
    found = []
    for name in sorted(name for name, apps in given.items() if apps):
        apps = [app for app, _ in given[name]]
        gained = sorted(app.name for app in apps if app.before is None)
        lost = sorted(app.name for app in apps if app.after is None)
        found.append(NodeGains(name, gained, lost))
        if len(found) == NAMES_SHOWN:
            break
    return found


def _of_apps(done: _Done) -> tuple[list[AppChange], int]:
    """Which apps change, on how many nodes, and how much those have to fetch for it."""
    count, size = done.tx.count_matching, 0
    sizes = _Sizes(done, frozenset((done.kind, key[-1]) for key, _, _ in done.changes))
    apps = []
    for name in {**done.before.apps, **done.after.apps}:
        was, now = done.before.apps.get(name), done.after.apps.get(name)
        if was is not None and now is not None and was.version == now.version:
            continue
        old, new = (app.selector if app else () for app in (was, now))
        had = count(done.namespace, old)
        gets = had if new == old else count(done.namespace, new)
        both = had if new == old else count(done.namespace, (*old, *new)) if old and new else 0
        # What is not stored yet has no version that would be true.
        versions = (was.version if was else None, "" if now else None)
        apps.append(AppChange(name, *versions, had + gets - both))
        if now is not None:
            size += both * sizes.of_app(now, was) + (gets - both) * sizes.of_app(now, None)
    return apps, size


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Bytes, as JSON, of what a node fetches; of objects in other stores their addresses alone."""

    done: _Done
    changed: Set[tuple[str, str]]
    """Kind and name of what apps use and nodes have to fetch anew."""

    def of_app(self, app: App, held: App | None) -> int:
        """All that a node fetches to run *app*, where it holds the version *held* of it."""
        uses = set(uses_of(app.spec))
        if held is not None:
            known = set(uses_of(held.spec))
            uses = {use for use in uses if use not in known or self._is_changed(use)}
        return _bytes(app_value(app, lambda _kind, _name: "")) + sum(map(self._of_use, uses))

    def _is_changed(self, use: Use) -> bool:
        return (use.kind.logged_as, use.name) in self.changed

    def _of_use(self, use: Use) -> int:
        found = self.done.tx.resource(USED[use.kind], self.done.namespace, use.name)
        return _bytes(used_value(found, lambda _: "")) if found else 0


def _bytes(value: object) -> int:
    return len(msgspec.json.encode(value))


def _content(noun: Noun | None) -> Mapping[str, Any] | None:
    """The specification of *noun*, with all that is secret in it hidden."""
    if noun is None:
        return None
    if isinstance(noun, VersionedResource):
        return hidden_content(noun.kind, noun.spec)
    return noun.described()


def _action(
    attempt: Attempt, tracker: ChangeTracker, was: Noun | None, now: Noun | None
) -> PlanAction:
    if was is not None or now is not None:
        if was is None:
            return PlanAction.CREATE
        if now is None:
            return PlanAction.DELETE
        return PlanAction.NONE if _content(was) == _content(now) else PlanAction.UPDATE
    if not tracker.count and not tracker.others:
        return PlanAction.NONE
    verb = attempt.action.partition(".")[2]
    return PlanAction(verb) if verb in set(PlanAction) else PlanAction.UPDATE
