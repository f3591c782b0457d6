"""Versions of apps under a policy, kept whole while nodes run them or may return to them."""

from collections.abc import Iterable, Sequence

from cloud.core.app import App
from cloud.core.kinds import ResourceKind
from cloud.core.rollout import Rollout, RolloutState
from cloud.core.rollout_policy import RolloutPolicy, governing
from cloud.store.transaction import Transaction


def pin_governed(tx: Transaction, namespace: str, apps: Iterable[App], *after: App) -> None:
    """Keep each of *apps* that a policy governs, with all that it uses, as it is stored now.

    To be called before it, or what it uses, is replaced; *after* is what takes the place of one,
    and may be governed where that is not.
    """
    policies = tx.resources(RolloutPolicy, namespace)
    if not policies:
        return
    became = {app.name: app for app in after}
    for app in apps:
        versions = (app, became.get(app.name, app))
        if any(governing(policies, one.name, one.labels) for one in versions):
            tx.pin_version(app)


def unpin_unused(tx: Transaction, namespace: str, app: str) -> None:
    """Forget the versions of *app* that no node runs or may return to any more."""
    rollout = tx.newest_rollout(namespace, app)
    kept: tuple[str, ...] = ()
    if rollout is not None and rollout.state is not RolloutState.DONE:
        kept = (rollout.base, rollout.target)
    tx.unpin_versions(namespace, app, kept)


def forget_versions(tx: Transaction, namespace: str, app: str) -> None:
    """Forget what nodes were assigned of *app*, which is deleted, and its versions."""
    tx.delete_assignments(namespace, app)
    tx.unpin_versions(namespace, app, ())


def rollouts_using(
    tx: Transaction, namespace: str, kind: ResourceKind, name: str
) -> Sequence[Rollout]:
    """The open rollouts of apps of which a version that nodes may return to uses that thing.

    Once none is open, what such versions use may be deleted: nodes are served what was kept of it.
    """
    apps = tx.pinned_users(namespace, kind, name)
    found = (tx.newest_rollout(namespace, app) for app in apps)
    return [one for one in found if one is not None and one.state.is_open]
