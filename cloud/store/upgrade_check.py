"""What an upgrade of a database would do, and who uses it: read while servers run, nothing changes.

The database may be of an older version, so that a table or a column may be missing in it.
"""

import contextlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.core.audit import Action
from cloud.errors import Unavailable
from cloud.store.migrations import STEPS, Step
from cloud.store.rows import micros
from cloud.store.statements import statement
from cloud.store.upkeep import Database, Rows, taken_steps

ROWS_PER_SECOND = 50_000
"""Rows that a migration reads or writes, at least, on two cores (docs/upgrading.md)."""

RUNNING = timedelta(seconds=10)
"""Time since its heartbeat within which a server runs."""

_VERSIONS = "_server_versions"
"""How the step is called, behind its number, that adds the versions of servers."""

_SERVERS = statement("SELECT id, seen, version FROM server ORDER BY id", reads={"server"})
_OLDER_SERVERS = statement("SELECT id, seen, '' FROM server ORDER BY id", reads={"server"})
_AGENTS = statement(
    "SELECT agent, COUNT(*) FROM node_status WHERE agent <> '' GROUP BY agent ORDER BY agent",
    reads={"node_status"},
)
_STARTS = statement(
    f"SELECT also FROM audit_entry WHERE action = '{Action.SERVER_START.value}'"  # noqa: S608
    " ORDER BY number DESC LIMIT 1",
    reads={"audit_entry"},
)
_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|CREATE (UNIQUE )?INDEX)\b")


@dataclass(frozen=True, slots=True)
class ClusterServer:
    """A server that uses the database; its *version* is empty where it recorded none."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class UpgradeFacts:
    """What was found. *pending* has the steps to take, each with the rows that it reads or writes.

    *unknown* are the steps that a newer version has taken. *servers* are those that share the
    database and run; *last_version* is the one that was started last. *agents* counts nodes by what
    they report as their agent.
    """

    pending: Mapping[str, int]
    unknown: Sequence[str]
    servers: Sequence[ClusterServer]
    last_version: str
    agents: Mapping[str, int]

    @property
    def seconds(self) -> int:
        """Seconds that the migration takes, about."""
        return -(-sum(self.pending.values()) // ROWS_PER_SECOND)


def upgrade_facts(
    database: Database, now: datetime, steps: tuple[Step, ...] = STEPS
) -> UpgradeFacts:
    """The facts of *database* at *now*; Unavailable if no server has used it."""
    taken = taken_steps(database)
    if not taken:
        raise Unavailable("the database has never been opened by a server")
    tables = frozenset(database.table_names())
    with database.look() as rows:
        return UpgradeFacts(
            {step[0]: _rows_of(step, tables, rows) for step in steps if step[0] not in taken},
            sorted(set(taken) - {name for name, _ in steps}),
            _servers(rows, now, taken) if "server" in tables else (),
            _last_version(rows),
            {agent: count for agent, count in rows(_AGENTS)} if "node_status" in tables else {},  # noqa: C416
        )


def _rows_of(step: Step, tables: Collection[str], rows: Rows) -> int:
    """Rows of the *tables* in the statements of *step* that read or write them."""
    words = {
        word
        for one in step[1]
        if _WRITES.match(one.sqlite)
        for word in re.findall(r"\w+", one.sqlite)
    }
    return sum(_count(table, rows) for table in words & set(tables))


def _count(table: str, rows: Rows) -> int:
    counted = statement(f"SELECT COUNT(*) FROM {table}", reads={table})  # noqa: S608
    [(count,)] = rows(counted)
    return int(count)


def _servers(rows: Rows, now: datetime, taken: Sequence[str]) -> Sequence[ClusterServer]:
    since = micros(now - RUNNING)
    has_versions = any(name.endswith(_VERSIONS) for name in taken)
    found = rows(_SERVERS if has_versions else _OLDER_SERVERS)
    return [ClusterServer(name, version) for name, seen, version in found if seen >= since]


def _last_version(rows: Rows) -> str:
    """The version of the last start; empty where the audit log no longer has it."""
    for (also,) in list(rows(_STARTS)):
        with contextlib.suppress(ValueError, AttributeError):
            return str(json.loads(also).get("version", ""))
    return ""
