"""The tables of each kind: the columns that the registry names, and what other calls add."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloud.core.kind import Column, ColumnForm
from cloud.core.kinds import APP, ResourceKind
from edgesync.cli.output import age, note, pairs, progress
from edgesync.cli.resources.paths import sort_key, value_at
from edgesync.client.client import Client
from edgesync.client.errors import NotFoundError

LOOKED_UP = 500
"""Things of which a table shows what takes a call for each."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What a table shows beside its columns: *labels* each in a column, or all in one.

    With *namespaces* the namespace of each thing comes first.
    """

    wide: bool = False
    labels: Sequence[str] = ()
    show_labels: bool = False
    namespaces: bool = False


def table_of(
    server: Client, kind: ResourceKind, things: Sequence[Json], options: TableOptions
) -> tuple[list[str], list[list[Any]]]:
    """Titles and rows of *things* of a *kind*."""
    is_labelled = options.show_labels and not options.wide
    columns = [
        column
        for column in kind.table
        if options.wide or not column.is_wide or (is_labelled and column.form is ColumnForm.LABELS)
    ]
    added = _ADDED.get(kind)
    titles, rows = [column.title.upper() for column in columns], []
    if added is not None:
        titles[_PLACE:_PLACE] = added.titles
    found = _looked_up(server, kind, things, added) if added else {}
    for thing in things:
        row = [_cell(column, thing) for column in columns]
        if added is not None:
            row[_PLACE:_PLACE] = found.get(_place_of(thing)) or [None] * len(added.titles)
        own = [thing["namespace"]] if options.namespaces else []
        rows.append([*own, *row, *((thing.get("labels") or {}).get(key) for key in options.labels)])
    own_titles = ["NAMESPACE"] if options.namespaces else []
    labels = [key.rpartition("/")[2].upper() for key in options.labels]
    return [*own_titles, *titles, *labels], rows


def _place_of(thing: Json) -> tuple[str, str]:
    return thing.get("namespace", ""), thing["name"]


def sorted_by(kind: ResourceKind, things: Sequence[Json], by: str) -> list[Json]:
    """*things* in the order of a column's title, or of a path like `.state.since`."""
    paths = {column.title.upper(): column.path for column in kind.table}
    path = paths.get(by.upper(), by.strip("{}"))
    return sorted(things, key=lambda thing: sort_key(value_at(path, thing)))


@dataclass(frozen=True, slots=True)
class _Added:
    """Columns whose cells *look_up* finds with a call for each thing, by its URL."""

    titles: Sequence[str]
    look_up: Callable[[Client, str], list[Any]]


def _readiness(server: Client, url: str) -> list[Any]:
    rollout = server.call("GET", f"{url}/rollout")
    return [f"{rollout['running']}/{rollout['selected']}"]


_PLACE = 2
"""Where columns are added: after name and version."""

_ADDED: Mapping[ResourceKind, _Added] = {
    APP: _Added(("READY",), _readiness),
}


def _looked_up(
    server: Client, kind: ResourceKind, things: Sequence[Json], added: _Added
) -> dict[tuple[str, str], list[Any]]:
    found: dict[tuple[str, str], list[Any]] = {}
    if len(things) > LOOKED_UP:
        shown = ", ".join(added.titles)
        note(f"{shown} of the first {LOOKED_UP} {kind.plural} only; select fewer (-l).")
    with progress() as shown_progress:
        for thing in shown_progress.track(list(things[:LOOKED_UP]), description=kind.plural):
            try:
                own = server.within(thing["namespace"]) if "namespace" in thing else server
                found[_place_of(thing)] = added.look_up(own, kind.url(thing["name"]))
            except NotFoundError:  # it went meanwhile
                continue
    return found


def _cell(column: Column, thing: Json) -> Any:
    value = column.value(thing)
    match column.form:
        case ColumnForm.AGE:
            return age(value)
        case ColumnForm.FLAG:
            return bool(value)
        case ColumnForm.SHARE:
            return None if value is None else f"{value:.0%}"
        case ColumnForm.RATIO:
            return None if value is None else f"{value['running']}/{value['wanted']}"
        case ColumnForm.LABELS:
            return pairs(value or {})
        case ColumnForm.NAMES:
            return ",".join(one if isinstance(one, str) else one["name"] for one in value or ())
        case ColumnForm.TEXT | ColumnForm.NUMBER | ColumnForm.SELECTOR:
            return value
