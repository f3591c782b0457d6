"""Exclusive use of a database by one server: a lock that ends with its owner."""

import fcntl
import os
from pathlib import Path

from cloud.errors import Unavailable


class Ownership:
    """The right to write the database *path*; held until `release`, or the end of the process."""

    def __init__(self, path: Path) -> None:
        lock = path.with_name(f"{path.name}.lock")
        # The open lock file; None once released. The file itself stays: taking it away would let
        # two servers lock two files of one name.
        self._number: int | None = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise Unavailable(f"another server is using the database {path}") from error

    def release(self) -> None:
        """Let others have it; does nothing the second time."""
        if self._number is not None:
            os.close(self._number)
            self._number = None
