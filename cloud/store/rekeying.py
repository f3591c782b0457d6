"""Re-encryption of everything with a new key; it can be interrupted and continued at any moment.

The new key lies beside the old one, in a file of its own, until all is sealed with it. Which of the
two is the key follows from the database: its check was sealed with one of them only.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from cloud.core.audit import Entry, Head
from cloud.core.kinds import KINDS
from cloud.errors import Unavailable
from cloud.store.command_log import append_with, check_version
from cloud.store.key_encryption import KeyEncryption
from cloud.store.lost_keys import check_log_keys
from cloud.store.parts.batches import BATCHES
from cloud.store.parts.callbacks import CALLBACKS
from cloud.store.parts.commands import ALL_OUTPUTS, PLACE, RESEAL_OUTPUT
from cloud.store.parts.local_users import RESEAL_TOTP, SEALED_TOTPS, TOTP_PLACE
from cloud.store.parts.part import NOTHING, Run
from cloud.store.parts.pinned_versions import PINNED_BODY, RESEAL_BODY, SEALED_BODIES
from cloud.store.parts.resources import FIND_RESOURCE, RESEAL_RESOURCE, SEALED_RESOURCES
from cloud.store.parts.revisions import RESEAL_REVISION, REVISION, SEALED_REVISIONS
from cloud.store.parts.secret_sources import PLACE as SOURCE_PLACE
from cloud.store.parts.secret_sources import RESEAL_SOURCE_STATE, SEALED_SOURCE_STATES
from cloud.store.rows import Parameters
from cloud.store.sealing import (
    CHECK_PLACE,
    RESEAL_CHECK,
    SEALED_CHECK,
    Sealer,
    is_plain,
    load_or_create_sealer,
    load_sealing_key,
    replace_sealing_key,
    sealed_with,
    sealing_key_id,
    sync_directory,
)
from cloud.store.statements import Statement
from cloud.store.upkeep import Database
from cloud.store.witness import load_or_create_witness

T = TypeVar("T")

_TABLES = (("batch", BATCHES), ("callback", CALLBACKS))
"""Kinds that have a table of their own."""


def rekey(
    database: Database,
    key: Path,
    *,
    encryption: KeyEncryption | None = None,
    new_encryption: KeyEncryption | None = None,
    entry: Entry | None = None,
    reached: Callable[[str], None] = lambda _point: None,
) -> int:
    """Make a new key and seal all documents of *database* with it; how many there are.

    *encryption* is what the file *key* is encrypted with, *new_encryption* what the new one will
    be. *entry* is appended to the audit log, in the same transaction.

    Unavailable while a server uses the database, and if *key* is not the key of it. *reached* is
    called with each point at which a crash would leave something else behind.
    """
    if missing := database.missing() or (None if key.exists() else key):
        raise Unavailable(f"there is no {missing}")
    with database.held(alone=True), _changing(key.parent):
        _settle(database, key)
        check_log_keys(database, key.parent)
        old = Sealer(load_sealing_key(key, encryption))
        new = load_or_create_sealer(_beside(key), new_encryption)
        reached("key made")

        witness = load_or_create_witness(key.parent)

        def reseal(run: Run) -> tuple[int, Head | None]:
            count = _reseal(run, old, new)
            head = None if entry is None else append_with(run, witness, entry)
            reached("sealed")
            return count, head

        count, head = database.in_transaction(reseal)
        if head is not None:
            witness.record(head)
        reached("committed")
        _put_in_place(key)
        reached("in place")
        database.wipe()
        return count


def encrypt_key(
    database: Database,
    key: Path,
    *,
    encryption: KeyEncryption | None,
    new_encryption: KeyEncryption | None,
) -> None:
    """Have the file *key* encrypted with *new_encryption* instead of *encryption*.

    The key itself stays, so servers may run meanwhile, and read the file at their next start.
    Unavailable, and nothing is changed, if *key* is not the key of *database*.
    """
    if missing := database.missing() or (None if key.exists() else key):
        raise Unavailable(f"there is no {missing}")
    check_version(database)
    settle_key(database, key)
    with _changing(key.parent):
        plain = load_sealing_key(key, encryption)
        Sealer(plain).unseal(database.in_transaction(_check_of), *CHECK_PLACE)
        replace_sealing_key(key, plain, new_encryption)


@contextlib.contextmanager
def _changing(directory: Path) -> Iterator[None]:
    """Have no other command change the key in *directory*; Unavailable while one does."""
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Unavailable(f"another command changes the key in {directory}") from error
    finally:
        os.close(number)


def settle_key(database: Database, key: Path) -> None:
    """Finish a re-keying that was cut short, or undo it; to be called before *key* is read."""
    if _beside(key).exists():
        # A change of the key takes an exclusive lock; other servers may be running here.
        with database.held(alone=False):
            _settle(database, key)


def _settle(database: Database, key: Path) -> None:
    beside = _beside(key)
    if not beside.exists():
        return
    if sealed_with(database.in_transaction(_check_of)) == sealing_key_id(beside):
        _put_in_place(key)
    else:
        beside.unlink()
        sync_directory(key.parent)


def _check_of(run: Run) -> str:
    """The text by which the database knows its key; empty if no server has ever opened it."""
    found = run(SEALED_CHECK, NOTHING)
    return found[0][0] if found else ""


def _reseal(run: Run, old: Sealer, new: Sealer) -> int:
    check = _check_of(run)
    if not check:
        raise Unavailable("the database has never been opened by a server")
    plain = old.unseal(check, *CHECK_PLACE)
    run(RESEAL_CHECK, {"sealed": new.seal(plain, *CHECK_PLACE)})
    count = 0
    for place, text, put in _documents(run):
        put(_resealed(text, old, new, *place))
        count += 1
    return count


def check_sealed(run: Run, sealer: Sealer) -> int:
    """Open everything that is sealed; how many documents. Unavailable for the first that is not."""
    count = 0
    for place, text, _ in _documents(run):
        if not is_plain(text):
            sealer.unseal(text, *place)
        count += 1
    return count


def _documents(run: Run) -> Iterator[tuple[tuple[str, ...], str, Callable[[str], object]]]:
    """Each document that is sealed, or is to be: its place, its text and what puts another."""
    for kind, namespace, name in run(SEALED_RESOURCES, NOTHING):
        row = {"kind": kind, "namespace": namespace, "name": name}
        if _may_be_sealed(kind) and not _stays_plain(kind, text := run(FIND_RESOURCE, row)[0][2]):
            yield (kind, namespace, name), text, _putting(run, RESEAL_RESOURCE, row)
    for kind, namespace, name, number in run(SEALED_REVISIONS, NOTHING):
        key: Parameters = {"kind": kind, "namespace": namespace, "name": name, "number": number}
        if _may_be_sealed(kind) and not _stays_plain(kind, text := run(REVISION, key)[0][-1]):
            yield (kind, namespace, name), text, _putting(run, RESEAL_REVISION, key)
    for kind, namespace, name, version in run(SEALED_BODIES, NOTHING):
        key = {"kind": kind, "namespace": namespace, "name": name, "version": version}
        if _may_be_sealed(kind) and not _stays_plain(kind, text := run(PINNED_BODY, key)[0][2]):
            yield (kind, namespace, name), text, _putting(run, RESEAL_BODY, key)
    for kind, table in _TABLES:
        for namespace, name in run(table.names, NOTHING):
            row = {"namespace": namespace, "name": name}
            text = run(table.find, row)[0][2]
            yield (kind, namespace, name), text, _putting(run, table.reseal, row)
    yield from _other_texts(run)


def _other_texts(run: Run) -> Iterator[tuple[tuple[str, ...], str, Callable[[str], object]]]:
    """As `_documents`: what is in columns of its own."""
    for name, own_id, text in run(SEALED_TOTPS, NOTHING):
        yield (TOTP_PLACE, own_id), text, _putting(run, RESEAL_TOTP, {"name": name})
    for namespace, name, text in run(SEALED_SOURCE_STATES, NOTHING):
        put = _putting(run, RESEAL_SOURCE_STATE, {"namespace": namespace, "name": name})
        yield (SOURCE_PLACE, namespace, name), text, put
    for namespace, name, own_id, text in run(ALL_OUTPUTS, NOTHING):
        put = _putting(run, RESEAL_OUTPUT, {"id": own_id})
        yield (PLACE, namespace, name, own_id), text, put


def _may_be_sealed(kind: str) -> bool:
    known = KINDS.logged_as(kind)
    return known is None or known.is_sealed


def _stays_plain(kind: str, text: str) -> bool:
    """Return whether *text* is plain and of a kind that is not known here: it may have to be."""
    return KINDS.logged_as(kind) is None and is_plain(text)


def _putting(run: Run, statement: Statement, row: Parameters) -> Callable[[str], object]:
    return lambda text: run(statement, {**row, "document": text})


def _resealed(text: str, old: Sealer, new: Sealer, *place: str) -> str:
    plain = text.encode() if is_plain(text) else old.unseal(text, *place)
    return new.seal(plain, *place)


def _put_in_place(key: Path) -> None:
    os.replace(_beside(key), key)
    sync_directory(key.parent)


def _beside(key: Path) -> Path:
    return key.with_name(f"{key.name}.new")
