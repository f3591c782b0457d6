"""Versions of apps that are not the present ones, whole: with all that the app used then.

A copy of the rows of the resources, made before they are replaced; not of revisions, since those
are forgotten by their number, and an app that only what it uses has changed has none.
"""

from collections.abc import Collection, Mapping, Sequence

from cloud.core.app import App, uses_of
from cloud.core.kinds import KINDS, ResourceKind
from cloud.store.cache import StoreCache
from cloud.store.parts.part import Run, first
from cloud.store.parts.resources import R, ResourcePart
from cloud.store.rows import Row, json_text
from cloud.store.sealing import Sealer
from cloud.store.statements import statement

PIN_PART = statement(
    """
    INSERT INTO pinned_part (namespace, app, version, kind, name, part)
    SELECT namespace, :app, :version, kind, name, version FROM resource
    WHERE kind = :kind AND namespace = :namespace AND name = :name
    ON CONFLICT (namespace, app, version, kind, name) DO NOTHING
    """,
    reads={"resource"},
    writes={"pinned_part"},
)
PIN_BODY = statement(
    """
    INSERT INTO pinned_body (kind, namespace, name, version, document, created, updated)
    SELECT kind, namespace, name, version, document, created, updated FROM resource
    WHERE kind = :kind AND namespace = :namespace AND name = :name AND NOT EXISTS (
        SELECT 1 FROM pinned_body AS own WHERE own.namespace = resource.namespace
            AND own.kind = resource.kind AND own.name = resource.name
            AND own.version = resource.version
    )
    """,
    reads={"resource"},
    writes={"pinned_body"},
)
PINNED_PARTS = statement(
    """
    SELECT kind, name, part FROM pinned_part
    WHERE namespace = :namespace AND app = :app AND version = :version
    """,
    reads={"pinned_part"},
)
PINNED_BODY = statement(
    """
    SELECT namespace, name, document, version, created, updated FROM pinned_body
    WHERE namespace = :namespace AND kind = :kind AND name = :name AND version = :version
    """,
    reads={"pinned_body"},
)
PINNED_APPS = statement(
    """
    SELECT namespace, name, document, version, created, updated FROM pinned_body
    WHERE namespace = :namespace AND kind = 'app'
    """,
    reads={"pinned_body"},
)
PINNED_USERS = statement(
    """
    SELECT DISTINCT app FROM pinned_part
    WHERE namespace = :namespace AND kind = :kind AND name = :name ORDER BY app
    """,
    reads={"pinned_part"},
)
# A node runs them, or may have to return to them.
UNPIN_PARTS = statement(
    """
    DELETE FROM pinned_part WHERE namespace = :namespace AND app = :app
        AND version NOT IN (SELECT given.value FROM {elements[kept]})
        AND version NOT IN (
            SELECT version FROM assignment WHERE namespace = :namespace AND app = :app
        )
        AND version NOT IN (
            SELECT previous FROM assignment WHERE namespace = :namespace AND app = :app
        )
    """,
    reads={"assignment"},
    writes={"pinned_part"},
)
UNPIN_BODIES = statement(
    """
    DELETE FROM pinned_body WHERE namespace = :namespace AND NOT EXISTS (
        SELECT 1 FROM pinned_part AS part WHERE part.namespace = pinned_body.namespace
            AND part.kind = pinned_body.kind AND part.name = pinned_body.name
            AND part.part = pinned_body.version
    )
    """,
    reads={"pinned_part"},
    writes={"pinned_body"},
)
# For a new key.
SEALED_BODIES = statement(
    "SELECT kind, namespace, name, version FROM pinned_body",
    reads={"pinned_body"},
)
RESEAL_BODY = statement(
    """
    UPDATE pinned_body SET document = :document
    WHERE namespace = :namespace AND kind = :kind AND name = :name AND version = :version
    """,
    writes={"pinned_body"},
)

Uses = Mapping[tuple[ResourceKind, str], str]
"""Version by kind and name of all that a version of an app uses."""


class PinnedVersionPart(ResourcePart):
    """Pinned versions of apps."""

    def __init__(self, run: Run, sealer: Sealer, cache: StoreCache) -> None:
        super().__init__(run, sealer, cache)
        # What was found of versions and of bodies: many nodes ask for the same.
        self._pinned: dict[tuple[str, str, str], Sequence[Row]] = {}
        self._bodies: dict[tuple[str, str, str, str], Sequence[Row]] = {}

    def pin_version(self, app: App) -> None:
        """Keep *app*, which is the stored one, with all that it uses as it is stored now.

        Again changes nothing: a version stays what it was.
        """
        if self._pinned_parts(app.namespace, app.name, app.version):
            return
        key = {"namespace": app.namespace, "app": app.name, "version": app.version}
        parts = {(use.kind.logged_as, use.name) for use in uses_of(app.spec)}
        for kind, name in [(App.kind.logged_as, app.name), *sorted(parts)]:
            self._run(PIN_PART, {**key, "kind": kind, "name": name})
            self._run(PIN_BODY, {"namespace": app.namespace, "kind": kind, "name": name})
        self._pinned.clear()
        self._bodies.clear()

    def pinned_app(self, namespace: str, name: str, version: str) -> App | None:
        """That version of the app; None where it is not pinned."""
        return self.pinned_body(App, namespace, name, version)

    def pinned_uses(self, namespace: str, name: str, version: str) -> Uses:
        """What the pinned *version* of the app uses, empty where it is not pinned."""
        found = self._pinned_parts(namespace, name, version)
        uses = [(KINDS.logged_as(kind), used, own) for kind, used, own in found]
        return {(kind, used): own for kind, used, own in uses if kind not in {None, App.kind}}

    def pinned_body(self, noun: type[R], namespace: str, name: str, version: str) -> R | None:
        """What is pinned of that type at *version*; Unavailable if it cannot be unsealed."""
        kind = noun.kind.logged_as
        place = (namespace, kind, name, version)
        if (found := self._bodies.get(place)) is None:
            key = {"namespace": namespace, "kind": kind, "name": name, "version": version}
            found = self._bodies[place] = self._run(PINNED_BODY, key)
        return first(lambda row: self._read(noun, row), found)

    def pinned_apps(self, namespace: str) -> Sequence[App]:
        """Every pinned version of every app of the namespace."""
        return [self._read(App, row) for row in self._run(PINNED_APPS, {"namespace": namespace})]

    def pinned_users(self, namespace: str, kind: ResourceKind, name: str) -> Sequence[str]:
        """The apps of which a pinned version uses that thing."""
        key = {"namespace": namespace, "kind": kind.logged_as, "name": name}
        return [app for (app,) in self._run(PINNED_USERS, key)]

    def unpin_versions(self, namespace: str, app: str, kept: Collection[str]) -> None:
        """Forget the versions of *app* but those *kept* and those that assignments name."""
        which = {"namespace": namespace, "app": app, "kept": json_text(sorted(kept))}
        self._run(UNPIN_PARTS, which)
        self._run(UNPIN_BODIES, {"namespace": namespace})
        self._pinned.clear()
        self._bodies.clear()

    def _pinned_parts(self, namespace: str, app: str, version: str) -> Sequence[Row]:
        place = (namespace, app, version)
        if (found := self._pinned.get(place)) is None:
            key = {"namespace": namespace, "app": app, "version": version}
            found = self._pinned[place] = self._run(PINNED_PARTS, key)
        return found
