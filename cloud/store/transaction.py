"""The transaction of `interface`, over anything that runs the statements of `sql`."""
# ruff: noqa: D102  # `interface` says what each method promises

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from cloud.core.app import App, AppSpec
from cloud.core.batch import Batch, BatchSpec, Record
from cloud.core.certificate import NodeCertificate
from cloud.core.config import Config, ConfigSpec
from cloud.core.desired import Catalog
from cloud.core.fingerprint import normalised
from cloud.core.installation import InstallToken, TargetKind
from cloud.core.listing import ListOptions, NumberedPage, Page, PageOptions
from cloud.core.node import Node
from cloud.core.registry import LABELS as REGISTRY_LABELS
from cloud.core.registry import Registry, RegistrySpec
from cloud.core.report import Report, Reporter, StoredReport
from cloud.core.secret import LABELS as SECRET_LABELS
from cloud.core.secret import Secret, SecretSpec
from cloud.core.selectors import Selector, integer_of
from cloud.core.tokens import ApiToken
from cloud.errors import Conflict, HasRecords, NotFound
from cloud.store import sql
from cloud.store.catalogs import Catalogs
from cloud.store.rows import (
    Parameters,
    Row,
    api_token_of,
    api_token_row,
    certificate_of,
    certificate_row,
    document,
    install_token_of,
    install_token_row,
    micros,
    moment,
    node_of,
    record_of,
    record_row,
    reporter_of,
    stored_report_of,
)
from cloud.store.sealing import Sealer, is_plain
from cloud.store.selection import ALL, NODE, Selection, selection_of

T = TypeVar("T")

_Resource = App | Config | Secret | Registry

_NOTHING: Parameters = {}
_APP, _CONFIG, _SECRET, _BATCH = "app", "config", "secret", "batch"
_REGISTRY = "registry"
_APP_SPEC = msgspec.json.Decoder(AppSpec)
_CONFIG_SPEC = msgspec.json.Decoder(ConfigSpec)
_SECRET_SPEC = msgspec.json.Decoder(SecretSpec)
_REGISTRY_SPEC = msgspec.json.Decoder(RegistrySpec)
_BATCH_SPEC = msgspec.json.Decoder(BatchSpec)


class DuplicateKey(Exception):
    """A statement would have made a second row with a key that must be unique."""


class BrokenReference(Exception):
    """A statement would have made a row refer to one that is not there."""


class Run(Protocol):
    """Runs one statement; all its rows.

    Raises DuplicateKey, BrokenReference or cloud.errors.Unavailable.
    """

    def __call__(self, statement: str, parameters: Parameters, /) -> Sequence[Row]: ...


class SqlTransaction:
    """A `Transaction` between its begin and its end, which are the caller's business."""

    def __init__(self, run: Run, sealer: Sealer, catalogs: Catalogs) -> None:
        self._run = run
        self._sealer = sealer
        self._shared_catalogs = catalogs
        # Catalogs as this transaction sees them now.
        self._catalogs: dict[str, Catalog] = {}
        # Whether this transaction changed resources: then its catalogs are nobody else's.
        self._changed_resources = False
        # Whether there may be more stale nodes after the commit.
        self.marked_stale = False

    def end(self) -> None:
        """Refuse all use from now on."""
        self._run = _ended

    def next_version(self) -> str:
        return str(self._run(sql.NEXT_VERSION, _NOTHING)[0][0])

    # nodes
    def node(self, namespace: str, name: str) -> Node | None:
        return _first(node_of, self._run(sql.NODE, {"namespace": namespace, "name": name}))

    def nodes(self, namespace: str) -> Sequence[Node]:
        return [node_of(row) for row in self._run(sql.NODES, {"namespace": namespace})]

    def put_node(self, node: Node) -> None:
        self._run(sql.PUT_NODE, _described(node, document(node.spec)))
        self._label(NODE, node, node.labels)

    def list_nodes(self, namespace: str, options: ListOptions) -> Page[Node]:
        return self._page(NODE, namespace, options, self.node)

    def delete_node(self, namespace: str, name: str) -> bool:
        self._run(sql.DELETE_LABELS, {"kind": NODE, "namespace": namespace, "name": name})
        return bool(self._run(sql.DELETE_NODE, {"namespace": namespace, "name": name}))

    # apps, configs, secrets, registries
    def app(self, namespace: str, name: str) -> App | None:
        return _first(self._app, self._resource(_APP, namespace, name))

    def apps(self, namespace: str) -> Sequence[App]:
        return [self._app(row) for row in self._resources(_APP, namespace)]

    def list_apps(self, namespace: str, options: ListOptions) -> Page[App]:
        return self._page(_APP, namespace, options, self.app)

    def put_app(self, app: App) -> None:
        self._put_resource(_APP, app, document(app.spec), app.spec.labels)

    def delete_app(self, namespace: str, name: str) -> bool:
        return self._delete_resource(_APP, namespace, name)

    def catalog(self, namespace: str) -> Catalog:
        known = self._catalogs.get(namespace)
        if known is None:
            known = self._catalogs[namespace] = self._find_catalog(namespace)
        return known

    def config(self, namespace: str, name: str) -> Config | None:
        return _first(self._config, self._resource(_CONFIG, namespace, name))

    def configs(self, namespace: str) -> Sequence[Config]:
        return [self._config(row) for row in self._resources(_CONFIG, namespace)]

    def list_configs(self, namespace: str, options: ListOptions) -> Page[Config]:
        return self._page(_CONFIG, namespace, options, self.config)

    def put_config(self, config: Config) -> None:
        self._put_resource(_CONFIG, config, self._sealed(_CONFIG, config), config.spec.labels)

    def delete_config(self, namespace: str, name: str) -> bool:
        return self._delete_resource(_CONFIG, namespace, name)

    def secret(self, namespace: str, name: str) -> Secret | None:
        return _first(self._secret, self._resource(_SECRET, namespace, name))

    def secrets(self, namespace: str) -> Sequence[Secret]:
        return [self._secret(row) for row in self._resources(_SECRET, namespace)]

    def list_secrets(self, namespace: str, options: ListOptions) -> Page[Secret]:
        return self._page(_SECRET, namespace, options, self.secret)

    def put_secret(self, secret: Secret) -> None:
        self._put_resource(_SECRET, secret, self._sealed(_SECRET, secret), SECRET_LABELS)

    def delete_secret(self, namespace: str, name: str) -> bool:
        return self._delete_resource(_SECRET, namespace, name)

    def registry(self, namespace: str, name: str) -> Registry | None:
        return _first(self._registry, self._resource(_REGISTRY, namespace, name))

    def registries(self, namespace: str) -> Sequence[Registry]:
        return [self._registry(row) for row in self._resources(_REGISTRY, namespace)]

    def list_registries(self, namespace: str, options: ListOptions) -> Page[Registry]:
        return self._page(_REGISTRY, namespace, options, self.registry)

    def put_registry(self, registry: Registry) -> None:
        sealed = self._sealed(_REGISTRY, registry)
        self._put_resource(_REGISTRY, registry, sealed, REGISTRY_LABELS)

    def delete_registry(self, namespace: str, name: str) -> bool:
        return self._delete_resource(_REGISTRY, namespace, name)

    # batches and records
    def batch(self, namespace: str, name: str) -> Batch | None:
        return _first(self._batch, self._run(sql.BATCH, {"namespace": namespace, "name": name}))

    def batches(self, namespace: str) -> Sequence[Batch]:
        return [self._batch(row) for row in self._run(sql.BATCHES, {"namespace": namespace})]

    def list_batches(self, namespace: str, options: PageOptions) -> NumberedPage[Batch]:
        key = {"namespace": namespace, "part": options.name.lower()}
        total: int = self._run(sql.COUNT_BATCHES, key)[0][0]
        found = self._run(sql.NEWEST_BATCHES, {**key, **_numbered(options)})
        batches = [self._batch(row) for row in found]
        return NumberedPage(batches, total, options.number, options.size)

    def put_batch(self, batch: Batch) -> None:
        self._run(sql.PUT_BATCH, _described(batch, self._sealed(_BATCH, batch)))

    def delete_batch(self, namespace: str, name: str) -> bool:
        try:
            return bool(self._run(sql.DELETE_BATCH, {"namespace": namespace, "name": name}))
        except BrokenReference as error:
            raise HasRecords(name) from error

    def record(self, namespace: str, batch: str, name: str) -> Record | None:
        key = {"namespace": namespace, "batch": batch, "name": name}
        return _first(record_of, self._run(sql.RECORD, key))

    def record_by_fingerprint(self, namespace: str, batch: str, fingerprint: str) -> Record | None:
        key = {"namespace": namespace, "batch": batch, "normalised": normalised(fingerprint)}
        return _first(record_of, self._run(sql.RECORD_BY_FINGERPRINT, key))

    def records(self, namespace: str, batch: str) -> Sequence[Record]:
        found = self._run(sql.RECORDS, {"namespace": namespace, "batch": batch})
        return [record_of(row) for row in found]

    def list_records(
        self, namespace: str, batch: str, options: PageOptions
    ) -> NumberedPage[Record]:
        key = {"namespace": namespace, "batch": batch, "part": options.name.lower()}
        total: int = self._run(sql.COUNT_RECORDS_NAMED, key)[0][0]
        found = self._run(sql.NEWEST_RECORDS, {**key, **_numbered(options)})
        records = [record_of(row) for row in found]
        return NumberedPage(records, total, options.number, options.size)

    def records_of_node(self, namespace: str, node_name: str) -> Sequence[Record]:
        found = self._run(sql.RECORDS_OF_NODE, {"namespace": namespace, "node_name": node_name})
        return [record_of(row) for row in found]

    def count_records(self, namespace: str, batch: str) -> int:
        count: int = self._run(sql.COUNT_RECORDS, {"namespace": namespace, "batch": batch})[0][0]
        return count

    def put_record(self, record: Record) -> None:
        try:
            self._run(sql.PUT_RECORD, record_row(record))
        except DuplicateKey as error:
            raise Conflict("record", record.name) from error
        except BrokenReference as error:
            raise NotFound("batch", record.batch) from error

    def delete_record(self, namespace: str, batch: str, name: str) -> bool:
        key = {"namespace": namespace, "batch": batch, "name": name}
        return bool(self._run(sql.DELETE_RECORD, key))

    # certificates
    def certificate(self, serial: int) -> NodeCertificate | None:
        return _first(certificate_of, self._run(sql.CERTIFICATE, {"serial": str(serial)}))

    def put_certificate(self, certificate: NodeCertificate) -> None:
        self._run(sql.PUT_CERTIFICATE, certificate_row(certificate))

    def revoke_certificates(self, node_id: str, now: datetime) -> int:
        return len(self._run(sql.REVOKE_CERTIFICATES, {"node_id": node_id, "now": micros(now)}))

    # tokens that bring in a machine
    def install_token(self, digest: str) -> InstallToken | None:
        return _first(install_token_of, self._run(sql.INSTALL_TOKEN, {"digest": digest}))

    def install_tokens(self, namespace: str, kind: TargetKind, name: str) -> Sequence[InstallToken]:
        key = {"namespace": namespace, "kind": kind.value, "name": name}
        return [install_token_of(row) for row in self._run(sql.INSTALL_TOKENS, key)]

    def put_install_token(self, token: InstallToken) -> None:
        self._run(sql.PUT_INSTALL_TOKEN, install_token_row(token))

    def delete_install_token(self, digest: str) -> bool:
        return bool(self._run(sql.DELETE_INSTALL_TOKEN, {"digest": digest}))

    def delete_install_tokens(self, namespace: str, kind: TargetKind, name: str) -> int:
        key = {"namespace": namespace, "kind": kind.value, "name": name}
        return len(self._run(sql.DELETE_INSTALL_TOKENS, key))

    def delete_expired_install_tokens(self, now: datetime) -> int:
        return len(self._run(sql.DELETE_EXPIRED_INSTALL_TOKENS, {"now": micros(now)}))

    # tokens that open the API
    def api_token(self, digest: str) -> ApiToken | None:
        return _first(api_token_of, self._run(sql.API_TOKEN, {"digest": digest}))

    def api_tokens(self, namespace: str) -> Sequence[ApiToken]:
        found = self._run(sql.API_TOKENS, {"namespace": namespace})
        return [api_token_of(row) for row in found]

    def all_api_tokens(self) -> Sequence[ApiToken]:
        return [api_token_of(row) for row in self._run(sql.ALL_API_TOKENS, _NOTHING)]

    def put_api_token(self, token: ApiToken) -> None:
        try:
            self._run(sql.PUT_API_TOKEN, api_token_row(token))
        except DuplicateKey as error:
            raise Conflict("token", token.name) from error

    def delete_api_token(self, namespace: str, name: str) -> bool:
        key = {"namespace": namespace, "name": name}
        return bool(self._run(sql.DELETE_API_TOKEN, key))

    # reports
    def report(self, namespace: str, name: str) -> StoredReport | None:
        found = self._run(sql.REPORT, {"namespace": namespace, "name": name})
        return _first(stored_report_of, found)

    def last_seen(self, namespace: str, name: str) -> datetime | None:
        found = self._run(sql.LAST_SEEN, {"namespace": namespace, "name": name})
        return moment(found[0][0]) if found else None

    def put_report(
        self, namespace: str, name: str, report: Report, encoding: str, now: datetime
    ) -> None:
        row: Parameters = {
            "namespace": namespace,
            "name": name,
            "document": report.document.decode(),
            "run": report.order.run,
            "sequence": report.order.sequence,
            "encoding": encoding,
            "received": micros(now),
        }
        try:
            self._run(sql.PUT_REPORT, row)
        except BrokenReference as error:
            raise NotFound("node", name) from error

    def put_usage(self, namespace: str, name: str, usage: bytes, now: datetime) -> bool:
        key = {"namespace": namespace, "name": name}
        row: Parameters = {**key, "usage": usage.decode(), "now": micros(now)}
        return bool(self._run(sql.PUT_USAGE, row))

    def reporter(self, namespace: str, name: str) -> Reporter | None:
        found = self._run(sql.REPORTER, {"namespace": namespace, "name": name})
        return reporter_of(name, found[0]) if found else None

    # nodes to be told
    def mark_stale(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._run(sql.MARK_STALE, {"namespace": node.namespace, "name": node.name})
            self.marked_stale = True

    def mark_selected_stale(self, namespace: str, selector: Selector) -> None:
        if selector:
            self._run(*Selection(NODE, namespace, selector).marked_stale())
            self.marked_stale = True

    def take_stale(self, limit: int) -> Sequence[tuple[str, str]]:
        taken = self._run(sql.TAKE_STALE, {"limit": max(limit, 0)})
        return [(namespace, name) for namespace, name in taken]

    def label_all(self) -> None:
        """Fill in the labels of what an older version of the server has put."""
        find: Mapping[str, Callable[[str, str], Node | App | Config | None]] = {
            NODE: self.node,
            _APP: self.app,
            _CONFIG: self.config,
        }
        for kind, namespace, name in self._run(sql.UNLABELLED, _NOTHING):
            noun = find[kind](namespace, name)
            if noun is not None:
                labels = noun.labels if isinstance(noun, Node) else noun.spec.labels
                self._label(kind, noun, labels)
        self._run(sql.ALL_LABELLED, _NOTHING)

    # the rows that several nouns share
    def _resource(self, kind: str, namespace: str, name: str) -> Sequence[Row]:
        return self._run(sql.RESOURCE, {"kind": kind, "namespace": namespace, "name": name})

    def _resources(self, kind: str, namespace: str) -> Sequence[Row]:
        return self._run(sql.RESOURCES, {"kind": kind, "namespace": namespace})

    def _put_resource(
        self, kind: str, resource: _Resource, text: str, labels: Mapping[str, str]
    ) -> None:
        row = {**_described(resource, text), "kind": kind, "version": resource.version}
        self._run(sql.PUT_RESOURCE, row)
        self._label(kind, resource, labels)
        self._note_change()

    def _delete_resource(self, kind: str, namespace: str, name: str) -> bool:
        key = {"kind": kind, "namespace": namespace, "name": name}
        self._run(sql.DELETE_LABELS, key)
        there = bool(self._run(sql.DELETE_RESOURCE, key))
        if there:
            self._note_change()
        return there

    def _label(self, kind: str, noun: Node | _Resource, labels: Mapping[str, str]) -> None:
        key = {"kind": kind, "namespace": noun.namespace, "name": noun.name}
        self._run(sql.DELETE_LABELS, key)
        row: Parameters = {**key, "created": micros(noun.created)}
        for label, value in labels.items():
            own: Parameters = {"key": label, "value": value, "number": integer_of(value)}
            self._run(sql.PUT_LABEL, {**row, **own})

    def _page(
        self,
        kind: str,
        namespace: str,
        options: ListOptions,
        find: Callable[[str, str], T | None],
    ) -> Page[T]:
        selection = selection_of(kind, namespace, options)
        total: int = self._run(*selection.counted())[0][0]
        limit = options.limit
        found = self._run(*selection.page(options.after, limit + 1 if limit else ALL, total))
        shown = found[:limit] if limit else found
        things = [thing for name, _ in shown if (thing := find(namespace, name)) is not None]
        if len(shown) == len(found):
            return Page(things, total)
        name, created = shown[-1]
        return Page(things, total, (moment(created), name))

    def _note_change(self) -> None:
        if not self._changed_resources:
            self._run(sql.RESOURCES_CHANGED, _NOTHING)
            self._changed_resources = True
        self._catalogs.clear()

    def _find_catalog(self, namespace: str) -> Catalog:
        def build() -> Catalog:
            return Catalog(self.apps(namespace))

        if self._changed_resources:
            return build()
        revision: int = self._run(sql.RESOURCES_REVISION, _NOTHING)[0][0]
        return self._shared_catalogs.catalog(namespace, revision, build)

    def _app(self, row: Row) -> App:
        namespace, name, text, version, created, updated = row
        spec = _APP_SPEC.decode(text)
        return App(namespace, name, spec, version, moment(created), moment(updated))

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

    def _batch(self, row: Row) -> Batch:
        namespace, name, text, created, updated = row
        spec = _BATCH_SPEC.decode(self._sealer.unseal(text, _BATCH, namespace, name))
        return Batch(namespace, name, spec, moment(created), moment(updated))

    def _sealed(self, kind: str, noun: Config | Secret | Registry | Batch) -> str:
        plain = msgspec.json.encode(noun.spec)
        return self._sealer.seal(plain, kind, noun.namespace, noun.name)


def _described(noun: Node | _Resource | Batch, text: str) -> Parameters:
    return {
        "namespace": noun.namespace,
        "name": noun.name,
        "document": text,
        "created": micros(noun.created),
        "updated": micros(noun.updated),
    }


def _numbered(options: PageOptions) -> Parameters:
    return {"limit": options.size, "skipped": (options.number - 1) * options.size}


def _first(make: Callable[[Row], T], rows: Sequence[Row]) -> T | None:
    return make(rows[0]) if rows else None


def _ended(_statement: str, _parameters: Parameters, /) -> Sequence[Row]:
    raise RuntimeError("the transaction has ended; work must not keep it")
