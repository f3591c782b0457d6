"""Backup and restore of a server: its database, keys and settings.

The database is taken row by row at one moment, while servers write to it, and put back the same
way: what was in SQLite can be put into PostgreSQL, and the other way round.
"""

import contextlib
import functools
import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from cloud.core.times import time_text
from cloud.errors import Unavailable
from cloud.store.archive import ArchivePart
from cloud.store.command_log import check_version
from cloud.store.migrations import STEPS, Step, migrate
from cloud.store.parts.part import NOTHING, Run
from cloud.store.rows import Row
from cloud.store.sealing import SEALED_CHECK, sealed_with, sealing_key_id, sync_directory
from cloud.store.statements import Statement, statement
from cloud.store.upkeep import Database, Rows, taken_steps

FORMAT = 1

VERSIONS_SKIPPED = 1_000_000
"""Versions that are left out after a restore.

What was changed after the backup was taken had versions that nodes may hold still; none of them may
come again and mean something else.
"""

SETTINGS_FILE = "settings.toml"
"""The settings that a server was started with, in its data directory."""

_FILES = ("secrets.key", "secrets.key.new", "audit.key", "audit.head", "admin.token", SETTINGS_FILE)
_CA = "ca"
_LEFT_OUT = frozenset({"server", "app_count"})
"""Tables about the servers that run now, and those of SQLite alone that its triggers fill."""

_NEVER_OPENED = "the database has never been opened by a server"
_FIRST, _LAST = "backup.json", "end.json"
_CHUNK = 1 << 20
_FAR = 2**53
_SKIP_VERSIONS = statement(
    "UPDATE revision SET version = version + :skipped, resources = resources + 1",
    writes={"revision"},
)
_SKIP_REVOCATIONS = statement(
    "UPDATE revocation SET number = number + :skipped, changes = changes + 1", writes={"revocation"}
)
# No number of an event that was seen since may be given to another one.
_SKIP_EVENTS = statement("UPDATE event_head SET number = number + :skipped", writes={"event_head"})
# Events without a number come before those recorded from now on, whose ids begin anew.
_COME_FIRST = statement("UPDATE new_event SET id = id - :skipped", writes={"new_event"})
_SKIPS = (
    (_SKIP_VERSIONS, VERSIONS_SKIPPED),
    (_SKIP_REVOCATIONS, VERSIONS_SKIPPED),
    (_SKIP_EVENTS, VERSIONS_SKIPPED),
    (_COME_FIRST, _FAR),
)
_LOG = "audit_entry"
_ORDER = {_LOG: " ORDER BY number"}
_HEAD_IS = statement("UPDATE audit_head SET number = :number WHERE id = 1", writes={"audit_head"})


class Begin(msgspec.Struct, forbid_unknown_fields=True):
    """The first part: what made the backup, and when."""

    format: int
    version: str
    created: str
    steps: list[str]


class End(msgspec.Struct, forbid_unknown_fields=True):
    """The last part: how many rows of each table there were."""

    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its columns, in order."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore."""

    begin: Begin
    rows: int
    migrations: int
    """Steps by which the tables of an older version became those of this one."""


@functools.cache
def tables(steps: tuple[Step, ...] = STEPS) -> tuple[Table, ...]:
    """All tables that are stored after *steps*; one that refers to another stands behind it."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, steps)
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            )
            if not name.startswith(("sqlite_", "_sqlite_")) and name not in _LEFT_OUT
        ]
        found: list[Table] = []
        waiting = {
            name: {row[2] for row in connection.execute(f"PRAGMA foreign_key_list({name})")}
            for name in names
        }
        while waiting:
            placed = {table.name for table in found}
            ready = [name for name, needs in waiting.items() if needs <= placed | {name}]
            for name in ready:
                columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
                found.append(Table(name, tuple(column[1] for column in columns)))
                del waiting[name]
    return tuple(found)


def backup_parts(
    database: Database, directory: Path, *, version: str, now: datetime
) -> Iterator[ArchivePart]:
    """Everything of the server whose data is in *directory* and *database*, as it is now.

    Unavailable if there is none, if another version of this program made the database, or if the
    key beside it is not its key.
    """
    if missing := database.missing() or _missing_key(directory):
        raise Unavailable(f"there is no {missing}")
    # Before the database: the recorded head of the log is never ahead of it.
    files = dict(_files(directory))
    check_version(database)
    if not taken_steps(database):
        raise Unavailable(_NEVER_OPENED)
    with database.look() as rows:
        _check_key(rows, directory)
        steps = [name for (name,) in rows(database.steps)]
        yield _FIRST, msgspec.json.encode(Begin(FORMAT, version, time_text(now), steps))
        for name, content in files.items():
            yield f"files/{name}", content
        counts = {}
        for table in tables():
            counts[table.name] = 0
            for count, chunk in _chunks(_rows_of(rows, table)):
                yield f"tables/{table.name}", chunk
                counts[table.name] += count
    yield _LAST, msgspec.json.encode(End(counts))


def restore(parts: Iterator[ArchivePart], database: Database, directory: Path) -> Restored:
    """Put *parts* into *directory*, which is empty, and *database*, where no server ever was.

    The database is changed whole or not at all; files may be left over. What an older version made
    is put into its tables, which are then migrated as by the start of a server. Unavailable if
    there was a server, if a newer version made the backup, or if it is not whole.
    """
    begin = _begin(parts)
    steps = STEPS[: len(begin.steps)]
    if missing := database.missing():
        missing.touch(mode=0o600)
    first: ArchivePart | None = None
    for name, content in parts:
        if not name.startswith("files/"):
            first = (name, content)
            break
        _put_file(directory, name.removeprefix("files/"), content)
    sync_directory(directory)
    if first is None:
        raise Unavailable("the backup ends before its end")
    beginning = first

    def fill(run: Run) -> int:
        if run(SEALED_CHECK, NOTHING):
            raise Unavailable("the database is in use: restore into a new one")
        return _fill(run, beginning, parts, tables(steps))

    rows = database.in_transaction(fill, steps)
    database.in_transaction(lambda run: run(SEALED_CHECK, NOTHING))  # migrates
    return Restored(begin, rows, len(STEPS) - len(steps))


def _begin(parts: Iterator[ArchivePart]) -> Begin:
    name, content = next(parts, ("", b""))
    try:
        if name != _FIRST:
            raise Unavailable(f"the backup does not begin with {_FIRST}")
        begin = msgspec.json.decode(content, type=Begin)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"the backup is of a kind that is not known here: {error}") from error
    known = [name for name, _ in STEPS]
    if begin.format != FORMAT or begin.steps != known[: len(begin.steps)]:
        raise Unavailable(
            f"version {begin.version} made the backup, which this version cannot read: restore it"
            " with that version"
        )
    return begin


def _fill(
    run: Run, first: ArchivePart, rest: Iterable[ArchivePart], stored: Sequence[Table]
) -> int:
    """Put all rows of the tables *stored*; how many there are.

    Unavailable if the counts of the backup differ.
    """
    known = {table.name: table for table in stored}
    # The migrations made the only row of these.
    alone = {name for name in known if run(_any_of(name), NOTHING)}
    counts = dict.fromkeys(known, 0)
    end: End | None = None
    for name, content in itertools.chain([first], rest):
        if name == _LAST:
            end = msgspec.json.decode(content, type=End)
            continue
        table = known.get(name.removeprefix("tables/"))
        if table is None or end is not None:
            raise Unavailable(f"the backup holds {name!r}, which is not known here")
        putting = _updating(table) if table.name in alone else _inserting(table)
        for line in content.splitlines():
            row = dict(zip(table.columns, msgspec.json.decode(line), strict=True))
            if table.name == _LOG:
                # The log only grows, and an entry is the last when it comes.
                run(_HEAD_IS, {"number": row["number"]})
            run(putting, row)
            counts[table.name] += 1
    if end is None or end.rows != counts:
        raise Unavailable("the backup is not whole")
    for skip, skipped in _SKIPS:
        if skip.writes <= known.keys():
            run(skip, {"skipped": skipped})
    return sum(counts.values())


def _any_of(table: str) -> Statement:
    return statement(f"SELECT 1 FROM {table} LIMIT 1", reads={table})  # noqa: S608


def _inserting(table: Table) -> Statement:
    columns, values = ", ".join(table.columns), ", ".join(f":{name}" for name in table.columns)
    text = f"INSERT INTO {table.name} ({columns}) VALUES ({values})"  # noqa: S608
    return statement(text, writes={table.name})


def _updating(table: Table) -> Statement:
    changes = ", ".join(f"{name} = :{name}" for name in table.columns)
    return statement(f"UPDATE {table.name} SET {changes}", writes={table.name})  # noqa: S608


def _chunks(rows: Iterable[Row]) -> Iterator[tuple[int, bytes]]:
    """The rows as lines of JSON, so many at a time as make about a megabyte; how many they are."""
    lines: list[bytes] = []
    size = 0
    for row in rows:
        lines.append(msgspec.json.encode(row))
        size += len(lines[-1])
        if size >= _CHUNK:
            yield len(lines), b"\n".join(lines)
            lines, size = [], 0
    if lines:
        yield len(lines), b"\n".join(lines)


def _rows_of(rows: Rows, table: Table) -> Iterable[Row]:
    text = f"SELECT {', '.join(table.columns)} FROM {table.name}{_ORDER.get(table.name, '')}"  # noqa: S608
    return rows(statement(text, reads={table.name}))


def _missing_key(directory: Path) -> Path | None:
    key = directory / "secrets.key"
    return None if key.exists() else key


def _check_key(rows: Rows, directory: Path) -> None:
    found = list(rows(SEALED_CHECK))
    if not found:
        raise Unavailable(_NEVER_OPENED)
    key, needed = sealing_key_id(directory / "secrets.key"), sealed_with(found[0][0])
    if key != needed:
        raise Unavailable(f"the database was sealed with another key than {key}")


def _files(directory: Path) -> Iterator[ArchivePart]:
    """The files in *directory* beside the database; no link is followed."""
    for name in _FILES:
        if (directory / name).is_file():
            yield name, (directory / name).read_bytes()
    for path in sorted((directory / _CA).rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield str(path.relative_to(directory)), path.read_bytes()


def _put_file(directory: Path, name: str, content: bytes) -> None:
    parts = Path(name).parts
    if not parts or ".." in parts or Path(name).is_absolute():
        raise Unavailable(f"the backup holds a file {name!r}")
    path = directory / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
