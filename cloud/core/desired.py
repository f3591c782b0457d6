"""The desired state of a node: computed from its labels and the apps, never stored."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cloud.core.app import App, AppVersion
from cloud.core.selectors import matches
from cloud.core.system_apps import SystemApps

_MEMO_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Desired:
    """All that a node should run, in a fixed order: oldest app first, then by name."""

    apps: tuple[AppVersion, ...] = ()
    sysapps: tuple[AppVersion, ...] = ()


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

    def __init__(self, apps: Iterable[App], system: SystemApps | None = None) -> None:
        self.apps: Mapping[str, App] = {app.name: app for app in apps}
        # The system apps beside them; None where none are configured.
        self.system = system
        # Labels that some selector looks at; nodes that agree in these run the same.
        self._keys = {term.key for app in self.apps.values() for term in app.selector}
        # What nodes asked for so far should run, by those of their labels.
        self._known: dict[frozenset[tuple[str, str]], Desired] = {}

    def desired_state(self, labels: Mapping[str, str]) -> Desired:
        """As the function of that name, for the apps of this catalog."""
        key = frozenset((key, labels[key]) for key in self._keys if key in labels)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MEMO_LIMIT:
                self._known.clear()
            known = self._known[key] = desired_state(labels, self.apps.values())
        return known
