"""Replacement of several files of an authority, complete after any interruption.

What is to be is written below `next/`, which gets that name in one step once it is complete; from
then on the change is made, by the first process, by moving file after file to its place.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from certs.errors import BadAuthority
from certs.pem_files import sync_directory, write_file

NEXT = "next"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep others from changing *directory* meanwhile; BadAuthority if a change is under way."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadAuthority(directory, "is being changed by another program") from error
        yield
    finally:
        os.close(descriptor)


def replace_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Give each of *files*, named as seen from *directory*, its content; `locked` is held."""
    partial = directory / f"{NEXT}.new"
    shutil.rmtree(partial, ignore_errors=True)
    for name, content in files.items():
        path = partial / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, content)
        sync_directory(path.parent)
    sync_directory(partial)
    partial.rename(directory / NEXT)
    sync_directory(directory)
    _move(directory)


def settle(directory: Path) -> None:
    """Finish a change that was cut short."""
    if (directory / NEXT).exists():
        with locked(directory):
            _move(directory)


def _move(directory: Path) -> None:
    change = directory / NEXT
    for path in sorted(change.rglob("*")):
        if path.is_file():
            place = directory / path.relative_to(change)
            place.parent.mkdir(mode=0o700, exist_ok=True)
            path.replace(place)
            sync_directory(place.parent)
    shutil.rmtree(change, ignore_errors=True)
    sync_directory(directory)
