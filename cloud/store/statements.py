"""A statement: its text for each database, and the tables that it reads and writes.

A text is written once, with named parameters (`:name`) and with a marker wherever SQLite and
PostgreSQL differ; an unknown marker is a KeyError at import. Nothing else about a text matters to
the code that runs it: not its words, not its line breaks.

| marker | meaning |
|---|---|
| `{skip_locked}` | rows that another transaction has claimed are left to it |
| `{fence}` | ends a query in another one that is to be planned alone |
| `{glob[p]}` | is like the text in parameter *p*, in which `*` is any text |
| `{position}` | the function that finds a text in a text; 0: not found |
| `{number_after[p]}` | the number after the text *p* in `place.labels`; NULL: not found |
| `{exists}` | EXISTS that the planner does not turn into a join |
| `{elements[p]}` | `given (value)`: the elements of the JSON array in parameter *p* |
| `{members[p]}` | `given (key, value)`: the members of the JSON object in parameter *p* |
| `{json}` | after a column: its text as JSON, of which `-> 'key'` is a member |
| `{json_array}`, `{json_group_array}` | functions that build JSON of a row, of many rows |
| `{rows}` | of a `SetStatement`: where its rows come from; `{using_rows}` in DELETE |
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9#]*)")


class _Given:
    """A marker with a parameter."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __getitem__(self, parameter: str) -> str:
        return self._text.replace("?", f":{parameter}")


_SQLITE: Mapping[str, object] = {
    # Its planner keeps the order of a cross join.
    "fence": "",
    "glob": _Given("GLOB ?"),
    "skip_locked": "",
    "position": "instr",
    "number_after": _Given(
        "CAST(substr(place.labels, nullif(instr(place.labels, ?), 0) + length(?)) AS INTEGER)"
    ),
    "exists": "EXISTS",
    "elements": _Given("json_each(?) AS given"),
    "members": _Given("json_each(?) AS given"),
    "json": "",
    "json_array": "json_array",
    "json_group_array": "json_group_array",
    "rows": "WHERE TRUE",
    "using_rows": "WHERE TRUE",
}
_POSTGRES: Mapping[str, object] = {
    "fence": "OFFSET 0",
    "glob": _Given(r"LIKE replace(replace(?, '_', '\_'), '*', '%')"),
    # Of several servers that claim at the same time each gets other rows, and none waits.
    "skip_locked": "FOR UPDATE SKIP LOCKED",
    "position": "strpos",
    "number_after": _Given(
        "CAST(nullif(split_part(split_part(place.labels, ?, 2), '&', 1), '') AS BIGINT)"
    ),
    # Not as a join: the planner would spend minutes on the order of several hundred joins.
    "exists": "TRUE = EXISTS",
    "elements": _Given("json_array_elements_text(CAST(? AS json)) AS given (value)"),
    "members": _Given("json_each_text(CAST(? AS json)) AS given (key, value)"),
    "json": "::json",
    "json_array": "json_build_array",
    "json_group_array": "json_agg",
}


@dataclass(frozen=True, slots=True, eq=False)
class Fragment:
    """A piece of a statement; one is no other, whatever its text."""

    # The text with parameters as sqlite3 reads them.
    sqlite: str
    # The text with parameters as psycopg reads them.
    postgres: str
    # Tables that are read, beside those that are written.
    reads: frozenset[str]
    # Tables in which rows are added, changed or deleted, also by a foreign key.
    writes: frozenset[str]

    @property
    def tables(self) -> frozenset[str]:
        """All tables that the statement has to do with."""
        return self.reads | self.writes


@dataclass(frozen=True, slots=True, eq=False)
class Statement(Fragment):
    """A whole statement."""


def fragment(text: str, *, reads: Collection[str] = (), writes: Collection[str] = ()) -> Fragment:
    """A piece of a statement; *text* as described above."""
    return Fragment(
        text.format_map(_SQLITE),
        _PARAMETER.sub(r"%(\1)s", text.format_map(_POSTGRES).replace("%", "%%")),
        frozenset(reads),
        frozenset(writes),
    )


def statement(text: str, *, reads: Collection[str] = (), writes: Collection[str] = ()) -> Statement:
    """A whole statement; *text* as described above."""
    return joined(fragment(text, reads=reads, writes=writes))


def fragment_apart(
    *, sqlite: str, postgres: str, reads: Collection[str] = (), writes: Collection[str] = ()
) -> Fragment:
    """A piece of a statement with another text for each database, for what they do differently."""
    texts = fragment(sqlite).sqlite, fragment(postgres).postgres
    return Fragment(*texts, frozenset(reads), frozenset(writes))


def statement_apart(
    *, sqlite: str, postgres: str, reads: Collection[str] = (), writes: Collection[str] = ()
) -> Statement:
    """A whole statement with another text for each database, for what only one of them keeps."""
    return joined(fragment_apart(sqlite=sqlite, postgres=postgres, reads=reads, writes=writes))


@dataclass(frozen=True, slots=True, eq=False)
class SetStatement(Statement):
    """A statement that writes rows and gives back nothing, for any number of them.

    Its text for SQLite is that of one row. PostgreSQL does it once for all of them, a round trip
    and not one for each: they are the JSON array of objects in the parameter `rows`, but for the
    columns `apart`, each an array of text in the parameter of its name.
    """

    # Of several that are due, those of a lower order come first.
    order: int
    apart: frozenset[str]


def set_statement(
    text: str,
    *,
    numbers: Collection[str] = (),
    documents: Collection[str] = (),
    order: int = 1,
    reads: Collection[str] = (),
    writes: Collection[str] = (),
) -> SetStatement:
    """Like `statement`, with `{rows}` in the place of WHERE; conditions follow with AND.

    Parameters are text, but for those that are *numbers*. *documents* are long texts: PostgreSQL
    takes 1 ms less for 64 of 2 kB beside the JSON of the rows than within it. *order* is -1 and 0
    for rows that others refer to, 2 for changes of rows, and removals, of what others put.
    """
    names = list(dict.fromkeys(_PARAMETER.findall(text.format_map(_SQLITE))))
    short = [name for name in names if name not in documents]
    columns = ", ".join(f"{name} {'BIGINT' if name in numbers else 'TEXT'}" for name in short)
    given = f"json_to_recordset(CAST(%(rows)s AS json)) AS item ({columns}) WHERE TRUE"
    if documents:
        lists = ", ".join(f"unnest(CAST(%({name})b AS TEXT[]))" for name in documents)
        rows = f"json_to_recordset(CAST(%(rows)s AS json)) AS ({columns}), {lists}"
        given = f"ROWS FROM ({rows}) AS item ({', '.join((*short, *documents))}) WHERE TRUE"
    markers = {**_POSTGRES, "rows": f"FROM {given}", "using_rows": f"USING {given}"}
    # Their parameters are columns of the rows.
    own = _PARAMETER.sub(r"item.\1", text.replace("%", "%%").format_map(markers))
    sqlite = text.format_map(_SQLITE)
    return SetStatement(
        *(sqlite, own, frozenset(reads), frozenset(writes)), order, frozenset(documents)
    )


@lru_cache(maxsize=4096)
def numbered(piece: Fragment, number: int) -> Fragment:
    """*piece* with parameters of its own: `_#` in their names becomes *number*."""
    own = f"_{number}"
    sqlite, postgres = piece.sqlite.replace("_#", own), piece.postgres.replace("_#", own)
    return Fragment(sqlite, postgres, piece.reads, piece.writes)


# The same fragments come again and again: what is selected differs in its parameters alone.
@lru_cache(maxsize=256)
def joined(*fragments: Fragment) -> Statement:
    """The statement made of *fragments*, in their order."""
    writes = frozenset[str]().union(*(each.writes for each in fragments))
    return Statement(
        "".join([each.sqlite for each in fragments]),
        "".join([each.postgres for each in fragments]),
        frozenset[str]().union(*(each.reads for each in fragments)) - writes,
        writes,
    )


_AND, _OPEN, _CLOSE = map(fragment, (" AND ", " AND (", ")"))
_GROUP = 32


def all_of(conditions: Sequence[Fragment]) -> Iterator[Fragment]:
    """In groups: SQLite takes expressions up to a depth of 1000, and selectors can be longer."""
    for start in range(0, len(conditions), _GROUP):
        yield _OPEN
        for place, condition in enumerate(conditions[start : start + _GROUP]):
            if place:
                yield _AND
            yield condition
        yield _CLOSE
