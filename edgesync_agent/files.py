"""Files that no other process reads, with names no path can be built from."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

SAFE_NAME = re.compile(r"(?!\.\.|\.$)[-._a-zA-Z0-9]{1,253}")


def safe(name: Any) -> str:
    """Return *name* if no path can be built from it; ValueError otherwise."""
    if not isinstance(name, str) or not SAFE_NAME.fullmatch(name):
        raise ValueError(f"unsafe name {str(name)[:80]!r}")
    return name


def write_private(path: Path, data: bytes) -> None:
    """Write a file that no other process can read."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(number)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that no other process can read; a crash leaves the old or the new one."""
    beside = path.with_name(f".new-{path.name}")
    write_private(beside, data)
    os.replace(beside, path)
    number = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def replace_folder(new: Path, place: Path) -> None:
    """Put *new* at *place*; what was there is removed."""
    old = place.with_name(f".old-{place.name}")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)
