"""What is labelled, and listed by its labels."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from cloud.core.app import App, UseKind, uses_of
from cloud.core.listing import ListOptions, Page, parse_field_selector
from cloud.core.node import Node
from cloud.core.selectors import integer_of, parse_selector
from cloud.store import sql
from cloud.store.memory import Memory
from cloud.store.parts.part import Part, Resource, Run
from cloud.store.rows import Parameters, micros, moment
from cloud.store.sealing import Sealer
from cloud.store.selection import ALL, Selection

T = TypeVar("T")


class ListedPart(Part):
    """Labels, what apps use, and the lists made of both."""

    def __init__(self, run: Run, sealer: Sealer, memory: Memory) -> None:
        super().__init__(run, sealer)
        self._memory = memory
        # Kind and namespace of the labels this transaction changed: totals of them are its own.
        self._relabelled: set[tuple[str, str]] = set()

    def _label(self, kind: str, noun: Node | Resource, labels: Mapping[str, str]) -> None:
        key = {"kind": kind, "namespace": noun.namespace, "name": noun.name}
        created = micros(noun.created)
        before = self._run(sql.LABELS, key)
        after = {(label, value, created) for label, value in labels.items()}
        # Nothing says whether something that has no labels has been there before.
        if after and after == {(label, value, age) for label, value, age in before}:
            return
        if before:
            self._run(sql.DELETE_LABELS, key)
        for label, value in labels.items():
            own: Parameters = {"key": label, "value": value, "number": integer_of(value)}
            self._run(sql.PUT_LABEL, {**key, **own, "created": created})
        self._note_relabelled(kind, noun.namespace)

    def _unlabel(self, kind: str, namespace: str, name: str) -> None:
        self._run(sql.DELETE_LABELS, {"kind": kind, "namespace": namespace, "name": name})
        self._note_relabelled(kind, namespace)

    def _note_relabelled(self, kind: str, namespace: str) -> None:
        if (kind, namespace) not in self._relabelled:
            self._run(sql.LABELS_CHANGED, {"kind": kind, "namespace": namespace})
            self._relabelled.add((kind, namespace))

    def _note_uses(self, app: App) -> None:
        key = {"namespace": app.namespace, "name": app.name}
        self._run(sql.DELETE_USES, key)
        for kind, name in {(use.kind, use.name) for use in uses_of(app.spec)}:
            use = {"used_kind": kind.value, "used_name": name, "created": micros(app.created)}
            self._run(sql.PUT_USE, {**key, **use})

    def _page(
        self,
        kind: str,
        namespace: str,
        options: ListOptions,
        find: Callable[[str, str], T | None],
        *,
        used: tuple[UseKind, str] | None = None,
    ) -> Page[T]:
        selector = parse_selector(options.selector)
        fields = parse_field_selector(options.field_selector)
        selection = Selection(self._run, kind, namespace, selector, fields, used=used)
        total = selection.total() if used else self._total(kind, namespace, options, selection)
        limit = options.limit
        found = selection.page(options.after, limit + 1 if limit else ALL, total)
        shown = found[:limit] if limit else found
        things = [thing for name, _ in shown if (thing := find(namespace, name)) is not None]
        if len(shown) == len(found):
            return Page(things, total)
        name, created = shown[-1]
        return Page(things, total, (moment(created), name))

    def _total(self, kind: str, namespace: str, options: ListOptions, selection: Selection) -> int:
        """The total of *selection*, counted once for as long as no label of its kind changes."""
        if (kind, namespace) in self._relabelled:
            return selection.total()
        found = self._run(sql.LABELS_REVISION, {"kind": kind, "namespace": namespace})
        key = (kind, namespace, options.selector, options.field_selector)
        return self._memory.totals.value(key, found[0][0] if found else 0, selection.total)
