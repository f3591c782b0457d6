"""The desired state of a node: computed, never stored.

It follows from the node's labels, the apps, and, of apps whose versions are rolled out in stages,
from the newest rollout and from what that has assigned to the node.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from cloud.core.app import App, AppVersion
from cloud.core.rollout import Rollout
from cloud.core.selectors import matches
from cloud.core.system_apps import SystemApps

_MEMO_LIMIT = 100_000

Assigned = Mapping[str, str]
"""The version of each app that rollouts have assigned to a node; empty: it should not run it."""

NOTHING_ASSIGNED: Assigned = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Desired:
    """All that a node should run, in a fixed order: oldest app first, then by name."""

    apps: tuple[AppVersion, ...] = ()
    sysapps: tuple[AppVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class GovernedApp:
    """An app whose newest *rollout* decides which version a node gets.

    *versions* are the present one and those that nodes run or may return to.
    """

    app: App
    rollout: Rollout
    versions: Mapping[str, App]

    @property
    def default_version(self) -> str:
        """The version of nodes to which nothing is assigned; empty where those do not run it."""
        version = self.rollout.default_version
        return self.app.version if version is None else version

    def on_node(self, assigned: Assigned) -> App | None:
        """The version for a node with *assigned*, if its selector matches; None for none.

        One that is not known here stays what the node should run; there is no content of it.
        """
        version = assigned.get(self.app.name, self.default_version)
        if not version:
            return None
        return self.versions.get(version) or replace(self.app, version=version)


def governed_apps(
    apps: Iterable[App], rollouts: Iterable[Rollout], pinned: Iterable[App]
) -> Mapping[str, GovernedApp]:
    """The apps that the newest *rollouts* still decide about, by name; *pinned* are older versions.

    Once an app has a version that is neither the base nor the target of its newest rollout, that
    version goes to all its nodes.
    """
    older: dict[str, dict[str, App]] = {}
    for app in pinned:
        older.setdefault(app.name, {})[app.version] = app
    by_name = {rollout.app: rollout for rollout in rollouts}
    return {
        app.name: GovernedApp(app, own, {**older.get(app.name, {}), app.version: app})
        for app in apps
        if (own := by_name.get(app.name)) and app.version in {own.base, own.target}
    }


def selects(app: App, labels: Mapping[str, str]) -> bool:
    """Whether a node with *labels* runs *app*; an empty selector selects nothing."""
    return bool(app.selector) and matches(app.selector, labels)


def desired_state(labels: Mapping[str, str], apps: Iterable[App]) -> Desired:
    """The desired state of a node with *labels*, from *apps* of one namespace."""
    chosen = [app for app in apps if selects(app, labels)]
    chosen.sort(key=lambda app: (app.created, app.name))
    return Desired(tuple(AppVersion(app.name, app.version) for app in chosen))


class Catalog:
    """The apps of one namespace at one moment, with the desired state of any node.

    Results are cached: a catalog never changes.
    """

    def __init__(
        self,
        apps: Iterable[App],
        system: SystemApps | None = None,
        governed: Mapping[str, GovernedApp] = MappingProxyType({}),
    ) -> None:
        self.apps: Mapping[str, App] = {app.name: app for app in apps}
        # The system apps beside them; None where none are configured.
        self.system = system
        # Those whose version depends on the node.
        self.governed = governed
        # Labels that some selector looks at; nodes that agree in these run the same.
        versions = [app for own in governed.values() for app in own.versions.values()]
        self._every = (*self.apps.values(), *versions)
        self._keys = {term.key for app in self._every for term in app.selector}
        # What nodes asked for so far should run, by those of their labels, and what is assigned.
        self._known: dict[object, Desired] = {}
        self._selecting: dict[object, frozenset[AppVersion]] = {}

    def desired_state(
        self, labels: Mapping[str, str], assigned: Assigned = NOTHING_ASSIGNED
    ) -> Desired:
        """As the function of that name, for the apps of this catalog.

        *assigned* matters where some of them are governed.
        """
        key: object = self._looked_at(labels)
        if assigned:
            key = (key, tuple(assigned.items()))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MEMO_LIMIT:
                self._known.clear()
            known = self._known[key] = desired_state(labels, self._apps_for(assigned))
        return known

    def selecting(self, labels: Mapping[str, str]) -> frozenset[AppVersion]:
        """Every app, at each version here, that selects a node with *labels*.

        Also a version that a rollout has not assigned to the node yet.
        """
        key = self._looked_at(labels)
        known = self._selecting.get(key)
        if known is None:
            found = (app for app in self._every if selects(app, labels))
            known = frozenset(AppVersion(app.name, app.version) for app in found)
            if len(self._selecting) >= _MEMO_LIMIT:
                self._selecting.clear()
            self._selecting[key] = known
        return known

    @property
    def unassigned(self) -> Mapping[str, App]:
        """The apps by name, at the versions for nodes to which nothing is assigned.

        The version is empty where they should not run the app.
        """
        if not self.governed:
            return self.apps
        wanted = {name: own.default_version for name, own in self.governed.items()}
        return {
            name: replace(app, version=wanted.get(name, app.version))
            for name, app in self.apps.items()
        }

    def app_at(self, wanted: AppVersion) -> App | None:
        """The app at a version that a node should run; None if there is no content of it."""
        governed = self.governed.get(wanted.name)
        if governed is not None:
            return governed.versions.get(wanted.version)
        app = self.apps.get(wanted.name)
        return app if app and app.version == wanted.version else None

    def _looked_at(self, labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
        """Those of *labels* that some selector looks at."""
        return frozenset((key, labels[key]) for key in self._keys if key in labels)

    def _apps_for(self, assigned: Assigned) -> Iterable[App]:
        if not self.governed:
            return self.apps.values()
        own = {name: governed.on_node(assigned) for name, governed in self.governed.items()}
        found = (own.get(app.name, app) for app in self.apps.values())
        return [app for app in found if app is not None]


NO_APPS = Catalog(())
"""A catalog without apps."""
