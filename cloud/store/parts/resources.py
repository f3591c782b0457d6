"""Apps, configs, secrets, registries and the catalogs that are made of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from cloud.core.app import App, AppSpec, UseKind
from cloud.core.config import Config, ConfigSpec
from cloud.core.desired import Catalog
from cloud.core.listing import (
    ListOptions,
    Page,
)
from cloud.core.registry import LABELS as REGISTRY_LABELS
from cloud.core.registry import Registry, RegistrySpec
from cloud.core.secret import LABELS as SECRET_LABELS
from cloud.core.secret import Secret, SecretSpec
from cloud.core.system_apps import SYSTEM_APPS, SystemApps, SystemAppsHistory
from cloud.store.cache import StoreCache
from cloud.store.parts.labels import DELETE_USES, LabelPart
from cloud.store.parts.part import (
    NOTHING,
    Resource,
    Run,
    described,
    first,
)
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
    writes={"resource"},
)
# How many versions were given, and how often resources were changed.
NEXT_VERSION = statement(
    "UPDATE revision SET version = version + 1 WHERE id = 1 RETURNING version",
    writes={"revision"},
)
RESOURCES_REVISION = statement("SELECT resources FROM revision WHERE id = 1", reads={"revision"})
RESOURCES_CHANGED = statement(
    "UPDATE revision SET resources = resources + 1 WHERE id = 1",
    writes={"revision"},
)
# For a new key.
SEALED_RESOURCES = statement(
    "SELECT kind, namespace, name FROM resource WHERE kind <> 'app'",
    reads={"resource"},
)
RESEAL_RESOURCE = statement(
    """
    UPDATE resource SET document = :document
    WHERE kind = :kind AND namespace = :namespace AND name = :name
    """,
    writes={"resource"},
)

T = TypeVar("T")

_APP, _CONFIG, _SECRET, _REGISTRY = "app", "config", "secret", "registry"
_SYSTEM = "system"
_SYSTEM_SPEC = msgspec.json.Decoder(SystemAppsHistory)
_APP_SPEC = msgspec.json.Decoder(AppSpec)
_CONFIG_SPEC = msgspec.json.Decoder(ConfigSpec)
_SECRET_SPEC = msgspec.json.Decoder(SecretSpec)
_REGISTRY_SPEC = msgspec.json.Decoder(RegistrySpec)


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

    def app(self, namespace: str, name: str) -> App | None:
        return first(self._app, self._resource(_APP, namespace, name))

    def apps(self, namespace: str) -> Sequence[App]:
        return [self._app(row) for row in self._resources(_APP, namespace)]

    def list_apps(self, namespace: str, options: ListOptions) -> Page[App]:
        return self._page(_APP, namespace, options, self._several_of(_APP, self._app))

    def list_apps_using(
        self, namespace: str, kind: UseKind, name: str, options: ListOptions
    ) -> Page[App]:
        return self._page(
            _APP, namespace, options, self._several_of(_APP, self._app), used=(kind, name)
        )

    def put_app(self, app: App) -> None:
        self._put_resource(_APP, app, document(app.spec), app.spec.labels)
        self._put_uses(app)

    def delete_app(self, namespace: str, name: str) -> bool:
        self._run(DELETE_USES, {"namespace": namespace, "name": name})
        return self._delete_resource(_APP, namespace, name)

    def catalog(self, namespace: str) -> Catalog:
        """The apps of the namespace; the same object as long as no resource has changed."""
        known = self._catalogs.get(namespace)
        if known is None:
            known = self._catalogs[namespace] = self._find_catalog(namespace)
        return known

    def system_apps(self, namespace: str) -> SystemApps | None:
        """The system apps of all nodes of the namespace; None where there are none.

        Unavailable as for `config`.
        """
        return first(self._system_apps, self._resource(_SYSTEM, namespace, SYSTEM_APPS))

    def put_system_apps(self, system: SystemApps) -> None:
        self._put_resource(_SYSTEM, system, self._sealed(_SYSTEM, system), {})

    def config(self, namespace: str, name: str) -> Config | None:
        """Unavailable if it cannot be unsealed with this server's key."""
        return first(self._config, self._resource(_CONFIG, namespace, name))

    def configs(self, namespace: str) -> Sequence[Config]:
        return [self._config(row) for row in self._resources(_CONFIG, namespace)]

    def list_configs(self, namespace: str, options: ListOptions) -> Page[Config]:
        return self._page(_CONFIG, namespace, options, self._several_of(_CONFIG, self._config))

    def put_config(self, config: Config) -> None:
        self._put_resource(_CONFIG, config, self._sealed(_CONFIG, config), config.spec.labels)

    def delete_config(self, namespace: str, name: str) -> bool:
        return self._delete_resource(_CONFIG, namespace, name)

    def secret(self, namespace: str, name: str) -> Secret | None:
        """Unavailable if it cannot be unsealed with this server's key."""
        return first(self._secret, self._resource(_SECRET, namespace, name))

    def secrets(self, namespace: str) -> Sequence[Secret]:
        return [self._secret(row) for row in self._resources(_SECRET, namespace)]

    def list_secrets(self, namespace: str, options: ListOptions) -> Page[Secret]:
        return self._page(_SECRET, namespace, options, self._several_of(_SECRET, self._secret))

    def put_secret(self, secret: Secret) -> None:
        self._put_resource(_SECRET, secret, self._sealed(_SECRET, secret), SECRET_LABELS)

    def delete_secret(self, namespace: str, name: str) -> bool:
        return self._delete_resource(_SECRET, namespace, name)

    def registry(self, namespace: str, name: str) -> Registry | None:
        """Unavailable if it cannot be unsealed with this server's key."""
        return first(self._registry, self._resource(_REGISTRY, namespace, name))

    def registries(self, namespace: str) -> Sequence[Registry]:
        return [self._registry(row) for row in self._resources(_REGISTRY, namespace)]

    def list_registries(self, namespace: str, options: ListOptions) -> Page[Registry]:
        return self._page(
            _REGISTRY, namespace, options, self._several_of(_REGISTRY, self._registry)
        )

    def put_registry(self, registry: Registry) -> None:
        sealed = self._sealed(_REGISTRY, registry)
        self._put_resource(_REGISTRY, registry, sealed, REGISTRY_LABELS)

    def delete_registry(self, namespace: str, name: str) -> bool:
        return self._delete_resource(_REGISTRY, namespace, name)

    # the rows that several nouns share
    def _resource(self, kind: str, namespace: str, name: str) -> Sequence[Row]:
        place = (kind, namespace, name)
        if (found := self._found.get(place)) is None:
            key = {"kind": kind, "namespace": namespace, "name": name}
            found = self._found[place] = self._run(FIND_RESOURCE, key)
        return found

    def _resources(self, kind: str, namespace: str) -> Sequence[Row]:
        return self._run(ALL_RESOURCES, {"kind": kind, "namespace": namespace})

    def _several_of(
        self, kind: str, make: Callable[[Row], T]
    ) -> Callable[[str, Sequence[str]], Mapping[str, T]]:
        """Resources of a namespace, by their names."""

        def find(namespace: str, names: Sequence[str]) -> Mapping[str, T]:
            wanted = {"kind": kind, "namespace": namespace, "names": json_text(names)}
            rows = json_rows(self._run(FIND_RESOURCES, wanted))
            return {row[1]: make(row) for row in rows}

        return find

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
        def build(_kept: tuple[int, Catalog] | None) -> Catalog:
            return Catalog(self.apps(namespace), self.system_apps(namespace))

        if self._changed_resources:
            return build(None)
        revision: int = self._run(RESOURCES_REVISION, NOTHING)[0][0]
        return self._cache.catalogs.value(namespace, revision, build)

    def _app(self, row: Row) -> App:
        namespace, name, text, version, created, updated = row
        spec = _APP_SPEC.decode(text)
        return App(namespace, name, spec, version, moment(created), moment(updated))

    def _system_apps(self, row: Row) -> SystemApps:
        namespace, name, text, version, _, updated = row
        spec = _SYSTEM_SPEC.decode(self._sealer.unseal(text, _SYSTEM, namespace, name))
        return SystemApps(namespace, spec, version, moment(updated))

    def _config(self, row: Row) -> Config:
        namespace, name, text, version, created, updated = row
        # 0.1.0 stored configs as plain JSON; they are sealed when they are next put.
        place = (_CONFIG, namespace, name)
        plain = text if is_plain(text) else self._sealer.unseal(text, *place)
        spec = _CONFIG_SPEC.decode(plain)
        return Config(namespace, name, spec, version, moment(created), moment(updated))

    def _secret(self, row: Row) -> Secret:
        namespace, name, text, version, created, updated = row
        spec = _SECRET_SPEC.decode(self._sealer.unseal(text, _SECRET, namespace, name))
        return Secret(namespace, name, spec, version, moment(created), moment(updated))

    def _registry(self, row: Row) -> Registry:
        namespace, name, text, version, created, updated = row
        spec = _REGISTRY_SPEC.decode(self._sealer.unseal(text, _REGISTRY, namespace, name))
        return Registry(namespace, name, spec, version, moment(created), moment(updated))
