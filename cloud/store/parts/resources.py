"""Nodes, apps, configs, secrets and registries: what is labelled and listed by labels."""
# ruff: noqa: D102  # `interface` says what each method promises

from collections.abc import Callable, Mapping, Sequence

import msgspec

from cloud.core.app import App, AppSpec, UseKind
from cloud.core.config import Config, ConfigSpec
from cloud.core.desired import Catalog
from cloud.core.listing import ListOptions, Page
from cloud.core.node import Node
from cloud.core.registry import LABELS as REGISTRY_LABELS
from cloud.core.registry import Registry, RegistrySpec
from cloud.core.secret import LABELS as SECRET_LABELS
from cloud.core.secret import Secret, SecretSpec
from cloud.core.system_apps import SYSTEM_APPS, SystemApps, SystemAppsHistory
from cloud.store import sql
from cloud.store.memory import Memory
from cloud.store.parts.listed import ListedPart
from cloud.store.parts.part import NOTHING, Resource, Run, described, first
from cloud.store.rows import Row, document, moment, node_of
from cloud.store.sealing import Sealer, is_plain
from cloud.store.selection import NODE

_APP, _CONFIG, _SECRET, _REGISTRY = "app", "config", "secret", "registry"
_SYSTEM = "system"
_SYSTEM_SPEC = msgspec.json.Decoder(SystemAppsHistory)
_APP_SPEC = msgspec.json.Decoder(AppSpec)
_CONFIG_SPEC = msgspec.json.Decoder(ConfigSpec)
_SECRET_SPEC = msgspec.json.Decoder(SecretSpec)
_REGISTRY_SPEC = msgspec.json.Decoder(RegistrySpec)


class ResourcePart(ListedPart):
    """What operators describe, and the catalogs made of it."""

    def __init__(self, run: Run, sealer: Sealer, memory: Memory) -> None:
        super().__init__(run, sealer, memory)
        # Catalogs as this transaction sees them now.
        self._catalogs: dict[str, Catalog] = {}
        # Whether this transaction changed resources: then its catalogs are nobody else's.
        self._changed_resources = False

    def next_version(self) -> str:
        return str(self._run(sql.NEXT_VERSION, NOTHING)[0][0])

    # nodes
    def node(self, namespace: str, name: str) -> Node | None:
        return first(node_of, self._run(sql.NODE, {"namespace": namespace, "name": name}))

    def nodes(self, namespace: str) -> Sequence[Node]:
        return [node_of(row) for row in self._run(sql.NODES, {"namespace": namespace})]

    def put_node(self, node: Node) -> None:
        row = described(node, document(node.spec))
        self._run(sql.PUT_NODE, {**row, "mode": node.mode.value, "core": document(node.core)})
        self._label(NODE, node, node.labels)

    def list_nodes(self, namespace: str, options: ListOptions) -> Page[Node]:
        return self._page(NODE, namespace, options, self.node)

    def delete_node(self, namespace: str, name: str) -> bool:
        there = bool(self._run(sql.DELETE_NODE, {"namespace": namespace, "name": name}))
        if there:
            self._unlabel(NODE, namespace, name)
        return there

    # apps, configs, secrets, registries
    def app(self, namespace: str, name: str) -> App | None:
        return first(self._app, self._resource(_APP, namespace, name))

    def apps(self, namespace: str) -> Sequence[App]:
        return [self._app(row) for row in self._resources(_APP, namespace)]

    def list_apps(self, namespace: str, options: ListOptions) -> Page[App]:
        return self._page(_APP, namespace, options, self.app)

    def list_apps_using(
        self, namespace: str, kind: UseKind, name: str, options: ListOptions
    ) -> Page[App]:
        return self._page(_APP, namespace, options, self.app, used=(kind, name))

    def put_app(self, app: App) -> None:
        self._put_resource(_APP, app, document(app.spec), app.spec.labels)
        self._note_uses(app)

    def delete_app(self, namespace: str, name: str) -> bool:
        self._run(sql.DELETE_USES, {"namespace": namespace, "name": name})
        return self._delete_resource(_APP, namespace, name)

    def catalog(self, namespace: str) -> Catalog:
        known = self._catalogs.get(namespace)
        if known is None:
            known = self._catalogs[namespace] = self._find_catalog(namespace)
        return known

    def system_apps(self, namespace: str) -> SystemApps | None:
        return first(self._system_apps, self._resource(_SYSTEM, namespace, SYSTEM_APPS))

    def put_system_apps(self, system: SystemApps) -> None:
        self._put_resource(_SYSTEM, system, self._sealed(_SYSTEM, system), {})

    def config(self, namespace: str, name: str) -> Config | None:
        return first(self._config, self._resource(_CONFIG, namespace, name))

    def configs(self, namespace: str) -> Sequence[Config]:
        return [self._config(row) for row in self._resources(_CONFIG, namespace)]

    def list_configs(self, namespace: str, options: ListOptions) -> Page[Config]:
        return self._page(_CONFIG, namespace, options, self.config)

    def put_config(self, config: Config) -> None:
        self._put_resource(_CONFIG, config, self._sealed(_CONFIG, config), config.spec.labels)

    def delete_config(self, namespace: str, name: str) -> bool:
        return self._delete_resource(_CONFIG, namespace, name)

    def secret(self, namespace: str, name: str) -> Secret | None:
        return first(self._secret, self._resource(_SECRET, namespace, name))

    def secrets(self, namespace: str) -> Sequence[Secret]:
        return [self._secret(row) for row in self._resources(_SECRET, namespace)]

    def list_secrets(self, namespace: str, options: ListOptions) -> Page[Secret]:
        return self._page(_SECRET, namespace, options, self.secret)

    def put_secret(self, secret: Secret) -> None:
        self._put_resource(_SECRET, secret, self._sealed(_SECRET, secret), SECRET_LABELS)

    def delete_secret(self, namespace: str, name: str) -> bool:
        return self._delete_resource(_SECRET, namespace, name)

    def registry(self, namespace: str, name: str) -> Registry | None:
        return first(self._registry, self._resource(_REGISTRY, namespace, name))

    def registries(self, namespace: str) -> Sequence[Registry]:
        return [self._registry(row) for row in self._resources(_REGISTRY, namespace)]

    def list_registries(self, namespace: str, options: ListOptions) -> Page[Registry]:
        return self._page(_REGISTRY, namespace, options, self.registry)

    def put_registry(self, registry: Registry) -> None:
        sealed = self._sealed(_REGISTRY, registry)
        self._put_resource(_REGISTRY, registry, sealed, REGISTRY_LABELS)

    def delete_registry(self, namespace: str, name: str) -> bool:
        return self._delete_resource(_REGISTRY, namespace, name)

    def label_all(self) -> None:
        """Fill in the labels, and the uses, of what an older version of the server has put."""
        find: Mapping[str, Callable[[str, str], Node | App | Config | None]] = {
            NODE: self.node,
            _APP: self.app,
            _CONFIG: self.config,
        }
        for kind, namespace, name in self._run(sql.UNLABELLED, NOTHING):
            noun = find[kind](namespace, name)
            if noun is not None:
                labels = noun.labels if isinstance(noun, Node) else noun.spec.labels
                self._label(kind, noun, labels)
            if isinstance(noun, App):
                self._note_uses(noun)
        self._run(sql.ALL_LABELLED, NOTHING)

    # the rows that several nouns share
    def _resource(self, kind: str, namespace: str, name: str) -> Sequence[Row]:
        return self._run(sql.RESOURCE, {"kind": kind, "namespace": namespace, "name": name})

    def _resources(self, kind: str, namespace: str) -> Sequence[Row]:
        return self._run(sql.RESOURCES, {"kind": kind, "namespace": namespace})

    def _put_resource(
        self, kind: str, resource: Resource, text: str, labels: Mapping[str, str]
    ) -> None:
        row = {**described(resource, text), "kind": kind, "version": resource.version}
        self._run(sql.PUT_RESOURCE, row)
        self._label(kind, resource, labels)
        self._note_change()

    def _delete_resource(self, kind: str, namespace: str, name: str) -> bool:
        key = {"kind": kind, "namespace": namespace, "name": name}
        there = bool(self._run(sql.DELETE_RESOURCE, key))
        if there:
            self._unlabel(kind, namespace, name)
            self._note_change()
        return there

    def _note_change(self) -> None:
        if not self._changed_resources:
            self._run(sql.RESOURCES_CHANGED, NOTHING)
            self._changed_resources = True
        self._catalogs.clear()

    def _find_catalog(self, namespace: str) -> Catalog:
        def build(_kept: tuple[int, Catalog] | None) -> Catalog:
            return Catalog(self.apps(namespace), self.system_apps(namespace))

        if self._changed_resources:
            return build(None)
        revision: int = self._run(sql.RESOURCES_REVISION, NOTHING)[0][0]
        return self._memory.catalogs.value(namespace, revision, build)

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
        # 0.1.0 kept configs as plain JSON; they are sealed when they are next put.
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
