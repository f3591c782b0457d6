"""The proof of the audit log outside the database: its key, and its last head."""

import contextlib
import logging
import os
import threading
from pathlib import Path

from cloud.core.audit import Chain, Head
from cloud.errors import Unavailable
from cloud.store.sealing import load_or_create_key

logger = logging.getLogger(__name__)

KEY_FILE = "audit.key"
HEAD_FILE = "audit.head"

_LENGTH = 96
"""Bytes of the head file: one small write, whole or not at all."""


class Witness:
    """The chain of a log, and the file with the last head that is known to be on disk.

    Safe to use from several threads.
    """

    def __init__(self, chain: Chain, head_file: Path, *, has_new_key: bool = False) -> None:
        self.chain = chain
        # Whether the log was written with another key, which is lost.
        self.has_new_key = has_new_key
        self._head_file = head_file
        self._recording = threading.Lock()
        # Number of the head that this server recorded last.
        self._recorded = 0

    def head(self) -> Head | None:
        """The head recorded last; None if there never was one. Unavailable if it cannot be read."""
        try:
            number, code = self._head_file.read_text(encoding="ascii").split()
            return Head(int(number), code)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Unavailable(f"{self._head_file} does not hold the head of a log") from error

    def record(self, head: Head) -> None:
        """Record a head that is committed: after a crash the record is never ahead of the log.

        Where it cannot be written the next one stands for it.
        """
        with self._recording:
            if head.number > self._recorded:
                self._recorded = head.number
                try:
                    self._write(f"{head.number} {head.code}")
                except OSError as error:
                    logger.warning("cannot record how far the audit log goes: %s", error)

    def _write(self, text: str) -> None:
        number = os.open(self._head_file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.closing(os.fdopen(number, "wb", buffering=0)) as file:
            file.write(text.ljust(_LENGTH - 1).encode() + b"\n")


def load_or_create_witness(directory: Path, *, has_new_key: bool = False) -> Witness:
    """The witness whose files are in *directory*, made at the first time; see `load_or_create_key`.

    An attacker who has the database alone has neither. *has_new_key* has a log go on
    whose key is lost.
    """
    key = load_or_create_key(directory / KEY_FILE)
    return Witness(Chain(key), directory / HEAD_FILE, has_new_key=has_new_key)
