"""Apps, configs, secrets, registries and the catalogs that are made of them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec

from cloud.core.app import App
from cloud.core.config import Config
from cloud.core.desired import Catalog, GovernedApp
from cloud.core.kinds import CONFIG, ResourceKind
from cloud.core.listing import ListOptions, Page
from cloud.core.registry import Registry
from cloud.core.resource import VersionedResource
from cloud.core.secret import Secret
from cloud.core.system_apps import SYSTEM_APPS, SystemApps, SystemAppsHistory
from cloud.store.cache import StoreCache
from cloud.store.parts.labels import DELETE_USES, LabelPart, Loader
from cloud.store.parts.part import NOTHING, Resource, Run, described, first
from cloud.store.parts.secret_sources import DELETE_SOURCE_STATE, FORGET_SOURCE_STATE
from cloud.store.rows import Row, document, json_rows, json_text, moment
from cloud.store.sealing import Sealer, is_plain
from cloud.store.statements import statement

FIND_RESOURCE = statement(
    """
    SELECT namespace, name, document, version, created, updated FROM resource
    WHERE kind = :kind AND namespace = :namespace AND name = :name
    """,
    reads={"resource"},
)
# As one row: each that is fetched lets go of the interpreter.
FIND_RESOURCES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(resource.namespace, resource.name,
        resource.document, resource.version, resource.created, resource.updated)) AS TEXT)
    FROM {elements[names]} CROSS JOIN resource
    WHERE resource.kind = :kind AND resource.namespace = :namespace
        AND resource.name = given.value
    """,
    reads={"resource"},
)
SIZES_OF_RESOURCES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(resource.name, LENGTH(resource.document))) AS TEXT)
    FROM {elements[names]} CROSS JOIN resource
    WHERE resource.kind = :kind AND resource.namespace = :namespace
        AND resource.name = given.value
    """,
    reads={"resource"},
)
ALL_RESOURCES = statement(
    """
    SELECT namespace, name, document, version, created, updated FROM resource
    WHERE kind = :kind AND namespace = :namespace ORDER BY created, name
    """,
    reads={"resource"},
)
PUT_RESOURCE = statement(
    """
    INSERT INTO resource (kind, namespace, name, document, version, created, updated)
    VALUES (:kind, :namespace, :name, :document, :version, :created, :updated)
    ON CONFLICT (kind, namespace, name) DO UPDATE SET
        document = excluded.document, version = excluded.version,
        created = excluded.created, updated = excluded.updated
    """,
    writes={"resource"},
)
DELETE_RESOURCE = statement(
    """
    DELETE FROM resource WHERE kind = :kind AND namespace = :namespace AND name = :name
        RETURNING name
    """,
    # With a channel go its deliveries.
    writes={"resource", "message"},
)
# How many versions were given, and how often resources were changed.
NEXT_VERSION = statement(
    "UPDATE revision SET version = version + 1 WHERE id = 1 RETURNING version",
    writes={"revision"},
)
# With it, whether apps of the namespace may be governed: where none is, nothing more is asked.
RESOURCES_REVISION = statement(
    """
    SELECT resources, EXISTS (SELECT 1 FROM rollout WHERE rollout.namespace = :namespace)
    FROM revision WHERE id = 1
    """,
    reads={"revision", "rollout"},
)
RESOURCES_CHANGED = statement(
    "UPDATE revision SET resources = resources + 1 WHERE id = 1",
    writes={"revision"},
)
# For a new key.
SEALED_RESOURCES = statement(
    "SELECT kind, namespace, name FROM resource",
    reads={"resource"},
)
RESEAL_RESOURCE = statement(
    """
    UPDATE resource SET document = :document
    WHERE kind = :kind AND namespace = :namespace AND name = :name
    """,
    writes={"resource"},
)

_SYSTEM = "system"
_SYSTEM_SPEC = msgspec.json.Decoder(SystemAppsHistory)
_ONCE_PLAIN = frozenset({CONFIG})
"""Kinds that 0.1.0 stored as plain JSON; they are sealed when they are next put."""

R = TypeVar("R", bound=VersionedResource[Any])


@cache
def _decoder(kind: ResourceKind) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind.spec)


class ResourcePart(LabelPart):
    """Apps, configs, secrets, registries and system apps."""

    def __init__(self, run: Run, sealer: Sealer, cache: StoreCache) -> None:
        super().__init__(run, sealer, cache)
        # Catalogs as this transaction sees them now.
        self._catalogs: dict[str, Catalog] = {}
        # Whether this transaction changed resources: then its catalogs are its own.
        self._changed_resources = False
        # Rows that were found: many nodes ask for the same configs.
        self._found: dict[tuple[str, str, str], Sequence[Row]] = {}

    def next_version(self) -> str:
        """A decimal number higher than any given before, also to things since deleted."""
        return str(self._run(NEXT_VERSION, NOTHING)[0][0])

    def resource(self, noun: type[R], namespace: str, name: str) -> R | None:
        """The thing of that type; Unavailable if it cannot be unsealed with this server's key."""
        found = self._resource(noun.kind.logged_as, namespace, name)
        return first(lambda row: self._read(noun, row), found)

    def has_resource(self, kind: ResourceKind, namespace: str, name: str) -> bool:
        return bool(self._resource(kind.logged_as, namespace, name))

    def resource_version(self, kind: ResourceKind, namespace: str, name: str) -> str:
        """Its version; empty if it is not there."""
        found = self._resource(kind.logged_as, namespace, name)
        return first(lambda row: str(row[3]), found) or ""

    def resources(self, noun: type[R], namespace: str) -> Sequence[R]:
        found = self._run(ALL_RESOURCES, {"kind": noun.kind.logged_as, "namespace": namespace})
        return [self._read(noun, row) for row in found]

    def list_resources(self, noun: type[R], namespace: str, options: ListOptions) -> Page[R]:
        return self._page(noun.kind.logged_as, namespace, options, self._loader_of(noun))

    def put_resource(self, thing: VersionedResource[Any]) -> None:
        kind = thing.kind.logged_as
        text = self._sealed(kind, thing) if thing.kind.is_sealed else document(thing.spec)
        self._put_resource(kind, thing, text, thing.labels)
        if isinstance(thing, App):
            self._put_uses(thing)
        if isinstance(thing, Secret):
            # Its sources may be others now.
            known = FORGET_SOURCE_STATE if thing.sources else DELETE_SOURCE_STATE
            self._run(known, {"namespace": thing.namespace, "name": thing.name})

    def delete_resource(self, kind: ResourceKind, namespace: str, name: str) -> bool:
        if kind is App.kind:
            self._run(DELETE_USES, {"namespace": namespace, "name": name})
        if kind is Secret.kind:
            self._run(DELETE_SOURCE_STATE, {"namespace": namespace, "name": name})
        return self._delete_resource(kind.logged_as, namespace, name)

    def app(self, namespace: str, name: str) -> App | None:
        return self.resource(App, namespace, name)

    def config(self, namespace: str, name: str) -> Config | None:
        return self.resource(Config, namespace, name)

    def secret(self, namespace: str, name: str) -> Secret | None:
        return self.resource(Secret, namespace, name)

    def registry(self, namespace: str, name: str) -> Registry | None:
        return self.resource(Registry, namespace, name)

    def list_apps_using(
        self, namespace: str, kind: ResourceKind, name: str, options: ListOptions
    ) -> Page[App]:
        loader = self._loader_of(App)
        return self._page(App.kind.logged_as, namespace, options, loader, used=(kind, name))

    def catalog(self, namespace: str) -> Catalog:
        """The apps of the namespace; the same object as long as no resource has changed."""
        known = self._catalogs.get(namespace)
        if known is None:
            known = self._catalogs[namespace] = self._find_catalog(namespace)
        return known

    def system_apps(self, namespace: str) -> SystemApps | None:
        """The system apps of all nodes of the namespace; None where there are none.

        Unavailable as for `resource`.
        """
        return first(self._system_apps, self._resource(_SYSTEM, namespace, SYSTEM_APPS))

    def put_system_apps(self, system: SystemApps) -> None:
        self._put_resource(_SYSTEM, system, self._sealed(_SYSTEM, system), {})

    # the rows that several nouns share
    def _resource(self, kind: str, namespace: str, name: str) -> Sequence[Row]:
        place = (kind, namespace, name)
        if (found := self._found.get(place)) is None:
            key = {"kind": kind, "namespace": namespace, "name": name}
            found = self._found[place] = self._run(FIND_RESOURCE, key)
        return found

    def _loader_of(self, noun: type[R]) -> Loader[R]:
        kind = noun.kind.logged_as

        def find(namespace: str, names: Sequence[str]) -> Mapping[str, R]:
            wanted = {"kind": kind, "namespace": namespace, "names": json_text(names)}
            rows = json_rows(self._run(FIND_RESOURCES, wanted))
            return {row[1]: self._read(noun, row) for row in rows}

        def sizes(namespace: str, names: Sequence[str]) -> Mapping[str, int]:
            wanted = {"kind": kind, "namespace": namespace, "names": json_text(names)}
            rows = json_rows(self._run(SIZES_OF_RESOURCES, wanted))
            return {name: size for name, size in rows}  # noqa: C416

        return Loader(find, sizes)

    def _put_resource(
        self, kind: str, resource: Resource, text: str, labels: Mapping[str, str]
    ) -> None:
        row = {**described(resource, text), "kind": kind, "version": resource.version}
        self._run(PUT_RESOURCE, row)
        self._label(kind, resource, labels)
        self._record_change()

    def _delete_resource(self, kind: str, namespace: str, name: str) -> bool:
        key = {"kind": kind, "namespace": namespace, "name": name}
        there = bool(self._run(DELETE_RESOURCE, key))
        if there:
            self._unlabel(kind, namespace, name)
            self._record_change()
        return there

    def _record_change(self) -> None:
        if not self._changed_resources:
            self._run(RESOURCES_CHANGED, NOTHING)
            self._changed_resources = True
        self._catalogs.clear()
        self._found.clear()

    def _find_catalog(self, namespace: str) -> Catalog:
        if self._changed_resources:
            return self._build_catalog(namespace, has_rollouts=True)
        revision, has_rollouts = self._run(RESOURCES_REVISION, {"namespace": namespace})[0]

        def build(_kept: tuple[int, Catalog] | None) -> Catalog:
            return self._build_catalog(namespace, has_rollouts=bool(has_rollouts))

        return self._cache.catalogs.value(namespace, revision, build)

    def _build_catalog(self, namespace: str, *, has_rollouts: bool) -> Catalog:
        apps, system = self.resources(App, namespace), self.system_apps(namespace)
        return Catalog(apps, system, self._governed(apps) if has_rollouts and apps else {})

    def _governed(self, _apps: Sequence[App]) -> Mapping[str, GovernedApp]:
        """Those of *apps*, all of one namespace, whose version rollouts decide about."""
        return {}

    def _read(self, noun: type[R], row: Row) -> R:
        namespace, name, text, version, created, updated = row
        kind = noun.kind
        if kind.is_sealed and not (kind in _ONCE_PLAIN and is_plain(text)):
            text = self._sealer.unseal(text, kind.logged_as, namespace, name)
        spec = _decoder(kind).decode(text)
        return noun(namespace, name, spec, version, moment(created), moment(updated))

    def _system_apps(self, row: Row) -> SystemApps:
        namespace, name, text, version, _, updated = row
        spec = _SYSTEM_SPEC.decode(self._sealer.unseal(text, _SYSTEM, namespace, name))
        return SystemApps(namespace, spec, version, moment(updated))
