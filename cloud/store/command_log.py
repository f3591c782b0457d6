"""Entries of the audit log that a command writes, with a server running or without one."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cloud.core.audit import Entry, Head
from cloud.errors import Unavailable
from cloud.store.cache import StoreCache
from cloud.store.key_encryption import KEY_BYTES
from cloud.store.lost_keys import check_log_keys
from cloud.store.migrations import STEPS
from cloud.store.parts.part import Run
from cloud.store.sealing import Sealer
from cloud.store.transaction import Transaction
from cloud.store.upkeep import Database, taken_steps
from cloud.store.witness import Witness, load_or_create_witness

T = TypeVar("T")


def append_entry(
    database: Database,
    directory: Path,
    entry: Entry,
    work: Callable[[Transaction], object] = lambda _tx: None,
) -> bool:
    """Put *entry* at the end of the log in *database*; False if there is none yet.

    *directory* is the data directory of a server that uses it. *work* is done in the same
    transaction, before.

    Unavailable if the database cannot be written now, if a key of it is missing there, or if a
    server of an older version uses it: it is not migrated under that server.
    """
    if database.missing():
        return False
    check_version(database)
    check_log_keys(database, directory)
    witness = load_or_create_witness(directory)
    head = database.in_transaction(lambda run: append_with(run, witness, entry, work))
    witness.record(head)
    return True


def check_version(database: Database) -> None:
    """Unavailable if another version of this program made *database*."""
    if (taken := taken_steps(database)) and taken != [name for name, _ in STEPS]:
        raise Unavailable(
            "the database is of another version of this program: use the one that serves it"
        )


def read_with(database: Database, directory: Path, work: Callable[[Transaction], T]) -> T:
    """What *work* reads in *database*; Unavailable as by `append_entry`."""
    check_version(database)
    check_log_keys(database, directory)
    witness = load_or_create_witness(directory)
    return database.in_transaction(
        lambda run: work(Transaction(run, _NoSealer(), StoreCache(), witness.chain))
    )


def append_with(
    run: Run,
    witness: Witness,
    entry: Entry,
    work: Callable[[Transaction], object] = lambda _tx: None,
) -> Head:
    """Put *entry* at the end of the log in the transaction of *run*; the head, once committed.

    *work* is done in the same transaction, before.
    """
    tx = Transaction(run, _NoSealer(), StoreCache(), witness.chain)
    work(tx)
    tx.begin_audit()
    tx.check_audit_key(is_new=False)
    return tx.append_audit(entry).head


class _NoSealer(Sealer):
    """Seals nothing: what commands read and write is not encrypted, so they do not need the key."""

    def __init__(self) -> None:
        super().__init__(bytes(KEY_BYTES))

    def seal(self, plain: bytes, *place: str) -> str:
        raise AssertionError("commands beside a server have nothing to seal")
