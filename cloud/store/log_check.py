"""Look at the whole audit log of a data directory, also while a server writes to it."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from cloud.core.audit import UNKNOWN as NOBODY
from cloud.core.audit import Anchor, Attempt, Entry, Head, Link, Verdict, verify
from cloud.errors import Unavailable
from cloud.store import sql
from cloud.store.rows import Row, link_of, moment
from cloud.store.witness import KEY_FILE, load_or_create_witness

_UNREADABLE = Entry(Attempt(NOBODY, "", moment(0)))


def check_log(
    directory: Path,
    *,
    database: str = "edgesync.db",
    noted: Iterable[Head] = (),
    known_cuts: frozenset[int] = frozenset(),
) -> Verdict:
    """What `core.audit.verify` says of the log in *directory*; nothing is changed.

    *noted* are heads that somebody kept elsewhere, beside the one in the directory. Unavailable if
    there is no database, no key, or no log in it.
    """
    path = directory / database
    for needed in (path, directory / KEY_FILE):
        if not needed.exists():
            raise Unavailable(f"there is no {needed}")
    witness = load_or_create_witness(directory)
    # Before the database: what is noted is never ahead of it.
    known = witness.head()
    try:
        with contextlib.closing(_connection(path)) as connection:
            connection.execute("BEGIN")
            head, anchor = _ends(connection)
            links = _links(connection)
            heads = [*noted, *([known] if known else [])]
            return verify(witness.chain, anchor, links, head, noted=heads, known_cuts=known_cuts)
    except sqlite3.Error as error:
        raise Unavailable(f"there is no audit log that can be read in {path}: {error}") from error


def _connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
    )
    connection.text_factory = lambda text: text.decode(errors="replace")
    return connection


def _ends(connection: sqlite3.Connection) -> tuple[Head, Anchor]:
    row = connection.execute(sql.AUDIT_HEAD).fetchone()
    if row is None:
        raise Unavailable("the audit log has lost its head: the row of audit_head is gone")
    number, code, gone, gone_code, seal = row
    return Head(number, code), Anchor(Head(gone, gone_code), seal)


def _links(connection: sqlite3.Connection) -> Iterator[Link]:
    for row in connection.execute(sql.AUDIT_LINKS_IN_ORDER):
        yield _link(row)


def _link(row: Row) -> Link:
    try:
        return link_of(row)
    except OverflowError:
        # A time that no clock has; no code is right for it.
        return Link(row[0], _UNREADABLE, "")
