"""Nodes and their properties."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from cloud.core.core_configuration import CoreConfiguration, Mode
from cloud.core.desired import NO_APPS, Catalog
from cloud.core.encryption_key import EncryptionKey
from cloud.core.field_selectors import NODE_FIELDS, parse_field_selector
from cloud.core.listing import (
    ListOptions,
    Page,
)
from cloud.core.node import SIZE_LIMIT, Node, NodeSpec, SeenNode, effective_labels
from cloud.core.node_sorting import parse_sorting
from cloud.core.properties import NO_PROPERTIES, Properties
from cloud.core.selectors import Selector, parse_selector
from cloud.errors import NotFound
from cloud.store.label_text import label_text
from cloud.store.node_selection import NodeSelection
from cloud.store.parts.labels import NODE_LABELS, LabelPart, Loader
from cloud.store.parts.part import described
from cloud.store.parts.row_sets import Lookup, NodePlace
from cloud.store.rows import ALL, Parameters, Row, document, heard_of, json_rows, json_text, moment
from cloud.store.selection import NODE, Selection
from cloud.store.statements import set_statement, statement

# Tables whose rows belong to a node, and go with it.
_OF_A_NODE = frozenset(
    {
        "assignment",
        "deploy",
        "encryption_key",
        "init_report",
        "last_certificate",
        "node_command",
        "node_status",
        "ready_node",
        "report",
        "reported_app",
        "stale_node",
        "usage_point",
    }
)

FIND_NODE = statement(
    """
    SELECT document, created, updated, mode, core FROM node
    WHERE namespace = :namespace AND name = :name
    """,
    reads={"node"},
)
# A cross join is done in the order it is written in; else SQLite would look at every node for each.
FIND_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(node.name, node.document, node.created,
        node.updated, node.mode, node.core)) AS TEXT)
    FROM {elements[names]} CROSS JOIN node
    WHERE node.namespace = :namespace AND node.name = given.value
    """,
    reads={"node"},
)
ALL_NODES = statement(
    """
    SELECT namespace, name, document, created, updated, mode, core FROM node
    WHERE namespace = :namespace ORDER BY created, name
    """,
    reads={"node"},
)
SIZES_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(node.name, LENGTH(node.document))) AS TEXT)
    FROM {elements[names]} CROSS JOIN node
    WHERE node.namespace = :namespace AND node.name = given.value
    """,
    reads={"node"},
)
SEEN_NODE = statement(
    """
    SELECT node.document, node.created, node.updated, node.mode, node.core, EXISTS (
            SELECT 1 FROM certificate WHERE certificate.node_id = node.namespace || '.' || node.name
                AND certificate.revoked IS NOT NULL AND certificate.created >= node.created
        ) AND NOT EXISTS (
            SELECT 1 FROM certificate WHERE certificate.node_id = node.namespace || '.' || node.name
                AND certificate.revoked IS NULL
        ), report.received, report.usage_received, report.report_interval, report.longest_gap,
        report.online_since, report.said_interval, encryption_key.key, encryption_key.time
    FROM node LEFT JOIN report ON report.namespace = node.namespace AND report.name = node.name
    LEFT JOIN encryption_key
        ON encryption_key.namespace = node.namespace AND encryption_key.name = node.name
    WHERE node.namespace = :namespace AND node.name = :name
    """,
    reads={"certificate", "encryption_key", "node", "report"},
)
SEEN_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(node.name, node.document, node.created,
        node.updated, node.mode, node.core, EXISTS (
            SELECT 1 FROM certificate WHERE certificate.node_id = node.namespace || '.' || node.name
                AND certificate.revoked IS NOT NULL AND certificate.created >= node.created
        ) AND NOT EXISTS (
            SELECT 1 FROM certificate WHERE certificate.node_id = node.namespace || '.' || node.name
                AND certificate.revoked IS NULL
        ), report.received, report.usage_received, report.report_interval, report.longest_gap,
        report.online_since, report.said_interval, encryption_key.key, encryption_key.time)
        ) AS TEXT)
    FROM {elements[names]} CROSS JOIN node
    LEFT JOIN report ON report.namespace = node.namespace AND report.name = node.name
    LEFT JOIN encryption_key
        ON encryption_key.namespace = node.namespace AND encryption_key.name = node.name
    WHERE node.namespace = :namespace AND node.name = given.value
    """,
    reads={"certificate", "encryption_key", "node", "report"},
)
PUT_NODE = set_statement(
    """
    INSERT INTO node (namespace, name, document, created, updated, mode, core)
    SELECT :namespace, :name, :document, :created, :updated, :mode, :core {rows}
    ON CONFLICT (namespace, name) DO UPDATE SET
        document = excluded.document, created = excluded.created, updated = excluded.updated,
        mode = excluded.mode, core = excluded.core
    """,
    numbers={"created", "updated"},
    order=-1,
    reads=_OF_A_NODE - {"node_status"},
    writes={"node", "node_status"},
)
ADD_STATUS = set_statement(
    """
    INSERT INTO node_status (namespace, created, name, heard, report_interval, deploy, agent,
        expires, revoked, labels)
    SELECT :namespace, :created, :name, NULL, 20000000, 'pending', '', NULL, 0, :labels {rows}
    ON CONFLICT (namespace, name) DO UPDATE SET created = excluded.created,
        labels = excluded.labels
    WHERE node_status.created <> excluded.created
        OR coalesce(node_status.labels, '') <> coalesce(excluded.labels, '')
    """,
    numbers={"created"},
    order=0,
    reads={"node"},
    writes={"node_status"},
)
DELETE_NODE = statement(
    "DELETE FROM node WHERE namespace = :namespace AND name = :name RETURNING name",
    writes=_OF_A_NODE | {"app_count", "node"},
)
PROPERTIES = statement(
    "SELECT properties FROM node WHERE namespace = :namespace AND name = :name",
    reads={"node"},
)
PROPERTIES_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(node.name, node.properties)) AS TEXT)
    FROM {elements[names]} CROSS JOIN node
    WHERE node.namespace = :namespace AND node.name = given.value
    """,
    reads={"node"},
)
PUT_PROPERTIES = statement(
    """
    UPDATE node SET properties = :properties WHERE namespace = :namespace AND name = :name
    RETURNING name
    """,
    writes={"node"},
)

T = TypeVar("T")

_SHORT = 1024
"""Characters of the document of a node that is remembered."""

_MODES = {mode.value: mode for mode in Mode}
_NODE_SPEC = msgspec.json.Decoder(NodeSpec)
_CORE = msgspec.json.Decoder(CoreConfiguration)
_PROPERTIES = msgspec.json.Decoder(Properties)


class NodePart(LabelPart):
    """Nodes."""

    def node(self, namespace: str, name: str) -> Node | None:
        return self._sets.value(NODES, (namespace, name))

    def nodes(self, namespace: str) -> Sequence[Node]:
        """All nodes of the namespace, oldest first, then by name; so are all lists here."""
        found = self._run(ALL_NODES, {"namespace": namespace})
        return [node_of((row[0], row[1]), row[2:]) for row in found]

    def seen_node(self, namespace: str, name: str) -> SeenNode | None:
        """The node, and what else an answer about it states."""
        return self._sets.value(SEEN, (namespace, name))

    def list_nodes(
        self, namespace: str, options: ListOptions, catalog: Catalog = NO_APPS
    ) -> Page[Node]:
        """The page that *options* asks for; so are all lists here.

        *catalog* is that of the namespace, where fields name apps. Nothing is loaded that is not on
        the page. Invalid for a selector that cannot be read.
        """
        return self._selected(namespace, options, catalog, self._loader(NODES))

    def list_seen_nodes(
        self, namespace: str, options: ListOptions, catalog: Catalog = NO_APPS
    ) -> Page[SeenNode]:
        """As `list_nodes`, of `seen_node`."""
        return self._selected(namespace, options, catalog, self._loader(SEEN))

    def _selected(
        self,
        namespace: str,
        options: ListOptions,
        catalog: Catalog,
        loader: Loader[T],
    ) -> Page[T]:
        terms = parse_field_selector(options.field_selector, NODE_FIELDS)
        sorting = parse_sorting(options.sort)
        if not terms and sorting.is_default:
            return self._page(NODE, namespace, options, loader)
        selector = parse_selector(options.selector)
        selection = NodeSelection(
            self._run,
            namespace,
            selector,
            terms,
            now=options.now,
            apps=catalog.unassigned,
            governed=catalog.governed,
        )
        limit = options.limit
        found = selection.found(options.after, limit + 1 if limit else ALL, sorting)
        if options.after is None and (not limit or len(found) <= limit):
            total = len(found)
        else:
            is_first = options.after is None and sorting.is_default
            total = selection.total_with(
                lambda: self._labelled_total(namespace, options.selector, selector),
                found if is_first else (),
            )
        return self._paged(namespace, found, total, options, loader)

    def _labelled_total(self, namespace: str, text: str, selector: Selector) -> int:
        selection = Selection(self._run, NODE, namespace, selector)
        return self._total((NODE, namespace), text, selection)

    def _loader(self, lookup: Lookup[T | None]) -> Loader[T]:
        """The result of *lookup* for nodes of a namespace."""

        def find(namespace: str, names: Sequence[str]) -> Mapping[str, T]:
            self._sets.expect((namespace, name) for name in names)
            found = ((name, self._sets.value(lookup, (namespace, name))) for name in names)
            return {name: one for name, one in found if one is not None}

        return Loader(find, self._sizes, SIZE_LIMIT)

    def _sizes(self, namespace: str, names: Sequence[str]) -> Mapping[str, int]:
        wanted = {"namespace": namespace, "names": json_text(names)}
        return {name: size for name, size in json_rows(self._run(SIZES_OF_NODES, wanted))}  # noqa: C416

    def put_node(self, node: Node) -> None:
        row = described(node, document(node.spec))
        row = {**row, "mode": node.mode.value, "core": document(node.core)}
        place, keeps = (node.namespace, node.name), (NODE_PROPERTIES,)
        is_new = self._sets.is_known(NODES, place) and self._sets.value(NODES, place) is None
        self._sets.put(PUT_NODE, place, row, place=place, becomes={NODES: node}, keeps=keeps)
        status = {key: row[key] for key in ("namespace", "name", "created")}
        labels: Parameters = {"labels": label_text(node.spec.labels)}
        self._sets.put(ADD_STATUS, place, {**status, **labels})
        if is_new:
            self._sets.learn(NODE_LABELS, place, ())
        self._label(NODE, node, node.labels)

    def delete_node(self, namespace: str, name: str) -> bool:
        """Forget the node and its report; its certificates stay on record."""
        there = bool(self._run(DELETE_NODE, {"namespace": namespace, "name": name}))
        if there:
            self._unlabel(NODE, namespace, name)
        return there

    def count_matching(self, namespace: str, selector: Selector) -> int:
        """How many nodes an app with *selector* is for; without terms: none."""
        return Selection(self._run, NODE, namespace, selector).total() if selector else 0

    def count_selected(self, namespace: str, selector: str) -> int:
        """How many nodes an app with *selector* is for; remembered, asking again is free."""
        terms = parse_selector(selector)
        if not terms:
            return 0
        return self._labelled_total(namespace, selector, terms)

    def properties(self, namespace: str, name: str) -> Properties:
        """Those of the node, none where there is no such node."""
        return self._sets.value(NODE_PROPERTIES, (namespace, name))

    def put_properties(self, namespace: str, name: str, properties: Properties) -> None:
        """NotFound if there is no such node."""
        row = {"namespace": namespace, "name": name, "properties": document(properties)}
        if not self._run(PUT_PROPERTIES, row):
            raise NotFound("node", name)


def node_of(place: NodePlace, row: Row) -> Node:
    """The node at *place* of a row of `FIND_NODE`."""
    text, created, updated, mode, core = row
    return Node(
        *place,
        _NODE_SPEC.decode(text),
        moment(created),
        moment(updated),
        _MODES[mode],
        core_of(core),
    )


def properties_of(text: str | None) -> Properties:
    """The properties in a row of `PROPERTIES`."""
    return NO_PROPERTIES if text is None else _PROPERTIES.decode(text)


def _only_node(place: NodePlace, rows: Sequence[Row]) -> Node | None:
    return node_of(place, rows[0]) if rows else None


def _only_seen(place: NodePlace, rows: Sequence[Row]) -> SeenNode | None:
    if not rows:
        return None
    row = tuple(rows[0])
    return _known_seen(place, row) if len(row[0]) <= _SHORT else _seen(place, row)


def _seen(place: NodePlace, row: tuple[Any, ...]) -> SeenNode:
    *rest, key, made = row
    *columns, is_revoked, received, usage_received, interval, longest, since, reported = rest
    heard = None
    if received is not None:
        heard = heard_of((received, usage_received, interval, longest, since, reported))
    return SeenNode(
        node_of(place, columns),
        heard,
        is_revoked=bool(is_revoked),
        encryption=EncryptionKey(key, made) if key else None,
    )


# The same for request after request, until the node reports: a third of what a list costs.
_known_seen = lru_cache(maxsize=4096)(_seen)


def _only_properties(_place: NodePlace, rows: Sequence[Row]) -> Properties:
    return properties_of(rows[0][0] if rows else None)


NODES = Lookup(FIND_NODE, FIND_NODES, _only_node)
SEEN = Lookup(SEEN_NODE, SEEN_NODES, _only_seen)
NODE_PROPERTIES = Lookup(PROPERTIES, PROPERTIES_OF_NODES, _only_properties)


# The same for report after report: reading them is a tenth of what taking a report costs.
@lru_cache(maxsize=16_384)
def labels_of(name: str, text: str) -> Mapping[str, str]:
    """The effective labels of a node whose document is *text*."""
    return effective_labels(name, _NODE_SPEC.decode(text).labels)


@lru_cache(maxsize=1024)
def core_of(text: str) -> CoreConfiguration:
    """The core configuration in a row of `FIND_NODE`."""
    return _CORE.decode(text)
