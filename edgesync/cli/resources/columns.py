"""The tables of each kind, with the columns that the registry names."""

from collections.abc import Mapping, Sequence
from typing import Any

from cloud.core.kind import Column, ColumnForm
from cloud.core.kinds import ResourceKind
from edgesync.cli.output import age, pairs, show_table

Json = Mapping[str, Any]


def show_table_of(kind: ResourceKind, things: Sequence[Json], *, wide: bool) -> None:
    """Print *things* of a *kind*."""
    columns = [column for column in kind.table if wide or not column.is_wide]
    show_table(
        [column.title.upper() for column in columns],
        [[_cell(column, thing) for column in columns] for thing in things],
    )


def _cell(column: Column, thing: Json) -> Any:
    value = column.value(thing)
    match column.form:
        case ColumnForm.AGE:
            return age(value)
        case ColumnForm.FLAG:
            return bool(value)
        case ColumnForm.SHARE:
            return f"{value:.0%}"
        case ColumnForm.LABELS:
            return pairs(value or {})
        case ColumnForm.NAMES:
            return ",".join(one["name"] for one in value or ())
        case ColumnForm.TEXT | ColumnForm.NUMBER | ColumnForm.SELECTOR:
            return value
