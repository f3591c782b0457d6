"""Verification of the whole audit log of a database, also while servers write to it."""

from collections.abc import Iterable
from pathlib import Path

from cloud.core.audit import UNKNOWN as UNKNOWN_ACTOR
from cloud.core.audit import Anchor, Attempt, ChainedEntry, Entry, Head, Verdict, verify
from cloud.errors import Unavailable
from cloud.store.parts.audit import AUDIT_HEAD, AUDIT_LINKS_IN_ORDER, link_of
from cloud.store.rows import Row, moment
from cloud.store.upkeep import Database, Rows
from cloud.store.witness import KEY_FILE, load_or_create_witness

_UNREADABLE = Entry(Attempt(UNKNOWN_ACTOR, "", moment(0)))


def check_log(
    database: Database,
    directory: Path,
    *,
    noted: Iterable[Head] = (),
    known_cuts: frozenset[int] = frozenset(),
) -> Verdict:
    """The verdict of `core.audit.verify` on the log in *database*; nothing is changed.

    Its key is in *directory*. *noted* are heads that were stored elsewhere, beside the one there.
    Unavailable if
    there is no database, no key, or no log in it.
    """
    key = directory / KEY_FILE
    if missing := database.missing() or (None if key.exists() else key):
        raise Unavailable(f"there is no {missing}")
    witness = load_or_create_witness(directory)
    # Before the database: the recorded head is never ahead of it.
    known = witness.head()
    try:
        with database.look() as rows:
            head, anchor = _ends(rows)
            links = map(_link, rows(AUDIT_LINKS_IN_ORDER))
            heads = [*noted, *([known] if known else [])]
            return verify(witness.chain, anchor, links, head, noted=heads, known_cuts=known_cuts)
    except Unavailable as error:
        raise Unavailable(f"there is no audit log that can be read: {error.reason}") from error


def _ends(rows: Rows) -> tuple[Head, Anchor]:
    found = list(rows(AUDIT_HEAD))
    if not found:
        raise Unavailable("the audit log has lost its head: the row of audit_head is gone")
    number, code, gone, gone_code, seal = found[0]
    return Head(number, code), Anchor(Head(gone, gone_code), seal)


def _link(row: Row) -> ChainedEntry:
    try:
        return link_of(row)
    except OverflowError:
        # A time that no clock has; no code is right for it.
        return ChainedEntry(row[0], _UNREADABLE, "")
