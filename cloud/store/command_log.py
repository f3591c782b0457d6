"""Entries of the audit log that a command writes, with a server running or without one."""

from pathlib import Path

from cloud.core.audit import Entry, Head
from cloud.store.memory import Memory
from cloud.store.parts.part import Run
from cloud.store.sealing import Sealer, load_or_create_sealer
from cloud.store.transaction import SqlTransaction
from cloud.store.upkeep import in_transaction
from cloud.store.witness import Witness, load_or_create_witness


def append_entry(directory: Path, entry: Entry) -> bool:
    """Put *entry* at the end of the log in a data directory; False if there is no database yet.

    Unavailable if the database cannot be written now.
    """
    database = directory / "edgesync.db"
    if not database.exists():
        return False
    witness = load_or_create_witness(directory)
    sealer = load_or_create_sealer(directory / "secrets.key")
    head = in_transaction(database, lambda run: append_with(run, sealer, witness, entry))
    witness.note(head)
    return True


def append_with(run: Run, sealer: Sealer, witness: Witness, entry: Entry) -> Head:
    """Put *entry* at the end of the log in the transaction of *run*; the head, once committed."""
    tx = SqlTransaction(run, sealer, Memory(), witness.chain)
    tx.begin_audit()
    return tx.append_audit(entry).head
