"""Operations of apps, and the effect on them of a change of something they use."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from cloud.core.app import App, AppSpec, uses_of
from cloud.core.app_checks import checked_app_spec
from cloud.core.functions import NO_RUNTIMES, completed_app_spec
from cloud.core.kinds import ResourceKind
from cloud.core.listing import ListOptions, Page
from cloud.core.names import check_own_name
from cloud.errors import InUse, Invalid, NotFound
from cloud.operations.pinned_versions import forget_versions, pin_governed, rollouts_using
from cloud.operations.rollout_begin import begin_rollout
from cloud.store.transaction import Transaction

_USERS_SHOWN = 10


def create_app(
    tx: Transaction,
    namespace: str,
    name: str,
    spec: AppSpec,
    *,
    now: datetime,
    runtimes: Mapping[str, str] = NO_RUNTIMES,
    base: str = "",
) -> App:
    """Add an app and update the nodes it is for; InUse if the name is taken.

    *runtimes* maps runtime to image. The services and volumes of the app *base*, where one is
    named, stand before those of *spec*; its type has to be the same.
    """
    check_own_name("name", name)
    if base:
        spec = _on_top_of(existing_app(tx, namespace, base).spec, spec)
    spec = completed_app_spec(name, spec, runtimes)
    _check_spec(tx, namespace, spec)
    if tx.app(namespace, name) is not None:
        raise InUse("app", name)
    app = App(namespace, name, spec, tx.next_version(), now, now)
    tx.put_resource(app)
    _send(tx, namespace, None, app, now)
    return app


def update_app(
    tx: Transaction,
    namespace: str,
    name: str,
    spec: AppSpec,
    *,
    now: datetime,
    runtimes: Mapping[str, str] = NO_RUNTIMES,
) -> App:
    """Describe the app anew and update the nodes it was or is for; its type cannot change."""
    before = existing_app(tx, namespace, name)
    if spec.type is not before.spec.type:
        raise Invalid("type", f"is {before.spec.type} and cannot change")
    spec = completed_app_spec(name, spec, runtimes)
    _check_spec(tx, namespace, spec)
    if spec == before.spec:
        return before
    after = replace(before, spec=spec, version=tx.next_version(), updated=now)
    pin_governed(tx, namespace, [before], after)
    tx.put_resource(after)
    _send(tx, namespace, before, after, now)
    return after


def delete_app(tx: Transaction, namespace: str, name: str) -> None:
    """Remove the app from every node that runs it."""
    before = existing_app(tx, namespace, name)
    tx.delete_resource(App.kind, namespace, name)
    forget_versions(tx, namespace, name)
    _mark_pending(tx, namespace, before, None)


def list_apps(tx: Transaction, namespace: str, options: ListOptions) -> Page[App]:
    """List the apps of the namespace."""
    return tx.list_resources(App, namespace, options)


def existing_app(tx: Transaction, namespace: str, name: str) -> App:
    """The app of that name; NotFound if there is none."""
    app = tx.app(namespace, name)
    if app is None:
        raise NotFound("app", name)
    return app


def list_apps_using(
    tx: Transaction, namespace: str, kind: ResourceKind, name: str, options: ListOptions
) -> Page[App]:
    """List the apps that use that resource."""
    return tx.list_apps_using(namespace, kind, name, options)


def check_unused(tx: Transaction, namespace: str, kind: ResourceKind, name: str) -> None:
    """Refuse (InUse, naming them) when apps use that resource, or a rollout may go back to it."""
    users = tx.list_apps_using(namespace, kind, name, ListOptions(limit=_USERS_SHOWN))
    if users.items:
        names = [app.name for app in users.items]
        more = ["..."] if users.after is not None else []
        raise InUse(kind.logged_as, name, f"app {', '.join(names + more)}")
    for rollout in rollouts_using(tx, namespace, kind, name):
        raise InUse(kind.logged_as, name, f"rollout {rollout.name}, which may go back to it")


def roll_apps(tx: Transaction, namespace: str, apps: Sequence[App], *, now: datetime) -> None:
    """Give *apps*, which use what has changed, new versions and update the nodes that run them."""
    for app in apps:
        after = replace(app, version=tx.next_version(), updated=now)
        tx.put_resource(after)
        _send(tx, namespace, app, after, now)


def _on_top_of(base: AppSpec, spec: AppSpec) -> AppSpec:
    if spec.type is not base.type:
        raise Invalid("type", f"is {spec.type}, and that of the base is {base.type}")
    first = (*(base.init_services or ()), *(spec.init_services or ()))
    return msgspec.structs.replace(
        spec,
        services=(*base.services, *spec.services),
        volumes=(*base.volumes, *(one for one in spec.volumes if one not in base.volumes)),
        init_services=first or spec.init_services,
    )


def _send(tx: Transaction, namespace: str, before: App | None, after: App, now: datetime) -> None:
    """Have *after* sent to its nodes: all at once, or by the rollout that begins with it."""
    if not begin_rollout(tx, namespace, before, after, now=now):
        _mark_pending(tx, namespace, before, after)


def _mark_pending(tx: Transaction, namespace: str, before: App | None, after: App | None) -> None:
    selectors = {app.selector for app in (before, after) if app is not None}
    for selector in selectors:
        tx.mark_selected_pending(namespace, selector)


def _check_spec(tx: Transaction, namespace: str, spec: AppSpec) -> None:
    checked_app_spec(spec)
    for use in uses_of(spec):
        if not tx.has_resource(use.kind, namespace, use.name):
            raise NotFound(use.kind.logged_as, use.name)
