"""Labels, what apps use, and the lists that are made of both."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from cloud.core.app import App, uses_of
from cloud.core.field_selectors import parse_field_selector
from cloud.core.kinds import ResourceKind
from cloud.core.listing import ListOptions, Page
from cloud.core.node import Node
from cloud.core.selectors import Selector, integer_of, matches, parse_selector
from cloud.store.cache import LabelChange, LabelsPlace, StoreCache
from cloud.store.parts.part import (
    Resource,
    Run,
)
from cloud.store.parts.row_sets import Lookup, RowSetPart
from cloud.store.rows import ALL, Parameters, Row, json_text, micros, moment
from cloud.store.sealing import Sealer
from cloud.store.selection import NODE, Selection
from cloud.store.statements import set_statement, statement

T = TypeVar("T")

_SIZES_AT_ONCE = 64
"""Resources whose sizes are looked at first; then of twice as many, and so on."""

LABELS = statement(
    """
    SELECT key, value, created FROM label
    WHERE kind = :kind AND namespace = :namespace AND name = :name
    """,
    reads={"label"},
)
LABELS_OF_NODE = statement(
    """
    SELECT key, value, created FROM label
    WHERE kind = 'node' AND namespace = :namespace AND name = :name
    """,
    reads={"label"},
)
LABELS_OF_NODES = statement(
    """
    SELECT CAST({json_group_array}({json_array}(label.name, label.key, label.value,
        label.created)) AS TEXT)
    FROM {elements[names]} CROSS JOIN label
    WHERE label.kind = 'node' AND label.namespace = :namespace AND label.name = given.value
    """,
    reads={"label"},
)
PUT_LABEL = set_statement(
    """
    INSERT INTO label (kind, namespace, name, key, value, number, created)
    SELECT :kind, :namespace, :name, :key, :value, :number, :created {rows}
    ON CONFLICT (kind, namespace, name, key) DO UPDATE SET
        value = excluded.value, number = excluded.number, created = excluded.created
    """,
    numbers={"number", "created"},
    writes={"label"},
)
DELETE_OTHER_LABELS = set_statement(
    """
    DELETE FROM label {using_rows} AND label.kind = :kind AND label.namespace = :namespace
    AND label.name = :name AND label.key NOT IN (SELECT given.value FROM {elements[kept]})
    """,
    order=2,
    writes={"label"},
)
DELETE_LABELS = statement(
    """
    DELETE FROM label WHERE kind = :kind AND namespace = :namespace AND name = :name
    RETURNING key, value
    """,
    writes={"label"},
)
LABELS_REVISION = statement(
    """
    SELECT revision FROM label_revision WHERE kind = :kind AND namespace = :namespace
    """,
    reads={"label_revision"},
)
LABELS_CHANGED = statement(
    """
    INSERT INTO label_revision (kind, namespace, revision) VALUES (:kind, :namespace, 1)
    ON CONFLICT (kind, namespace) DO UPDATE SET revision = label_revision.revision + 1
    RETURNING revision
    """,
    writes={"label_revision"},
)
# What an older version of the server has put, whose labels and uses are to be filled in.
UNLABELLED = statement("SELECT kind, namespace, name FROM unlabelled", reads={"unlabelled"})
ALL_LABELLED = statement("DELETE FROM unlabelled", writes={"unlabelled"})
PUT_USE = statement(
    """
    INSERT INTO app_use (namespace, name, used_kind, used_name, created)
    VALUES (:namespace, :name, :used_kind, :used_name, :created)
    """,
    writes={"app_use"},
)
DELETE_USES = statement(
    "DELETE FROM app_use WHERE namespace = :namespace AND name = :name",
    writes={"app_use"},
)


@dataclass(frozen=True, slots=True)
class Loader(Generic[T]):
    """How the resources of a page are loaded: by a namespace and their names."""

    find: Callable[[str, Sequence[str]], Mapping[str, T]]
    """Finds them."""
    sizes: Callable[[str, Sequence[str]], Mapping[str, int]]
    """Their bytes, as they are stored."""
    largest: int = 0
    """Bytes of the largest that there can be; 0: unknown."""


class LabelPart(RowSetPart):
    """Things that have labels, and lists of them by selector."""

    def __init__(self, run: Run, sealer: Sealer, cache: StoreCache) -> None:
        super().__init__(run, sealer)
        self._cache = cache
        # The labels this transaction changed, and the revision that they have by this: their totals
        # are its own until it is committed.
        self._relabelled: dict[LabelsPlace, tuple[int, list[LabelChange]]] = {}

    def remember(self) -> None:
        """Let later totals go on from what this transaction changed; for after its commit."""
        for place, (revision, changes) in self._relabelled.items():
            # A resource without labels may or may not have been there before.
            if place[0] == NODE:
                self._cache.changes.record(place, revision, changes)

    def _label(self, kind: str, noun: Node | Resource, labels: Mapping[str, str]) -> None:
        key = {"kind": kind, "namespace": noun.namespace, "name": noun.name}
        created, place = micros(noun.created), (noun.namespace, noun.name)
        found = self._sets.value(NODE_LABELS, place) if kind == NODE else self._run(LABELS, key)
        before = {label: value for label, value, _ in found}
        # Without labels there is no telling whether the thing was there before.
        if before and before == labels and all(age == created for _, _, age in found):
            return
        for label, value in labels.items():
            own: Parameters = {"key": label, "value": value, "number": integer_of(value)}
            self._sets.put(PUT_LABEL, (kind, *place, label), {**key, **own, "created": created})
        if not before.keys() <= labels.keys():
            self._sets.put(
                DELETE_OTHER_LABELS, (kind, *place), {**key, "kept": json_text([*labels])}
            )
        if kind == NODE:
            now = [(label, value, created) for label, value in labels.items()]
            self._sets.learn(NODE_LABELS, place, now)
        self._record_relabelled((kind, noun.namespace), LabelChange(before or None, labels))

    def _unlabel(self, kind: str, namespace: str, name: str) -> None:
        key = {"kind": kind, "namespace": namespace, "name": name}
        before = {label: value for label, value in self._run(DELETE_LABELS, key)}  # noqa: C416
        self._record_relabelled((kind, namespace), LabelChange(before, None))

    def _record_relabelled(self, place: LabelsPlace, change: LabelChange) -> None:
        if place not in self._relabelled:
            key = {"kind": place[0], "namespace": place[1]}
            self._relabelled[place] = (self._run(LABELS_CHANGED, key)[0][0], [])
        self._relabelled[place][1].append(change)

    def _put_uses(self, app: App) -> None:
        key = {"namespace": app.namespace, "name": app.name}
        self._run(DELETE_USES, key)
        for kind, name in {(use.kind, use.name) for use in uses_of(app.spec)}:
            use: Parameters = {
                "used_kind": kind.word,
                "used_name": name,
                "created": micros(app.created),
            }
            self._run(PUT_USE, {**key, **use})

    def _page(
        self,
        kind: str,
        namespace: str,
        options: ListOptions,
        loader: Loader[T],
        *,
        used: tuple[ResourceKind, str] | None = None,
    ) -> Page[T]:
        selector = parse_selector(options.selector)
        fields = parse_field_selector(options.field_selector)
        selection = Selection(self._run, kind, namespace, selector, fields, used=used)
        if used is None and not fields:
            total = self._total((kind, namespace), options.selector, selection)
        else:
            total = selection.total()
        limit = options.limit
        found = selection.page(options.after, limit + 1 if limit else ALL, total)
        return self._paged(namespace, found, total, options, loader)

    def _paged(
        self,
        namespace: str,
        found: Sequence[Row],
        total: int,
        options: ListOptions,
        loader: Loader[T],
    ) -> Page[T]:
        """The page of *found*, name and age of one more thing than it shows, if there is one."""
        shown = found[: options.limit] if options.limit else found
        fits = loader.largest and len(shown) * loader.largest <= options.most_bytes
        if options.most_bytes and not fits:
            sizes = partial(loader.sizes, namespace)
            shown = _fitting(shown, options.most_bytes, sizes)
        names = [name for name, _ in shown]
        things = list(map(loader.find(namespace, names).__getitem__, names)) if names else []
        if len(shown) == len(found):
            return Page(things, total)
        name, created = shown[-1]
        return Page(things, total, (moment(created), name))

    def _total(self, place: LabelsPlace, text: str, selection: Selection) -> int:
        """The total of *selection*, counted once and from then on with the labels that change."""
        revision = self._labels_revision(place)
        if revision is None:
            return selection.total()

        def make(kept: tuple[int, int] | None) -> int:
            if kept is None:
                return selection.total()
            before, total = kept
            changes = self._cache.changes.between(place, before, revision)
            if changes is None:
                return selection.total()
            return total + _gained(parse_selector(text), changes)

        return self._cache.totals.value((*place, text), revision, make)

    def _labels_revision(self, place: LabelsPlace) -> int | None:
        """The revision of the labels; None if this transaction has changed some of them."""
        if place in self._relabelled:
            return None
        found = self._run(LABELS_REVISION, {"kind": place[0], "namespace": place[1]})
        return found[0][0] if found else 0


NODE_LABELS = Lookup(LABELS_OF_NODE, LABELS_OF_NODES, lambda _place, rows: rows)


def _fitting(
    rows: Sequence[Row], most: int, sizes: Callable[[Sequence[str]], Mapping[str, int]]
) -> Sequence[Row]:
    """The first of *rows*, whose first value is a name: those of *most* bytes together, or one."""
    total, kept, step = 0, 0, _SIZES_AT_ONCE
    while kept < len(rows):
        names = [row[0] for row in rows[kept : kept + step]]
        found = sizes(names)
        for name in names:
            total += found[name]
            if total > most and kept:
                return rows[:kept]
            kept += 1
        step *= 2
    return rows


def _gained(selector: Selector, changes: Iterable[LabelChange]) -> int:
    """How many more satisfy *selector* after *changes*."""
    return sum(
        (change.after is not None and matches(selector, change.after))
        - (change.before is not None and matches(selector, change.before))
        for change in changes
    )
