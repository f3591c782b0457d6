"""The kernel's view of processes: `/proc`, read without a cache."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Iterator, NamedTuple

PROC = Path("/proc")
READ_BYTES = 1 << 16


class ProcessStatus(NamedTuple):
    """A process: *started* in clock ticks since boot, which with the number names it for good.

    *ticks* is the CPU time used so far, *memory* the resident bytes.
    """

    number: int
    session: int
    state: str
    started: int
    ticks: int
    memory: int


def process_status(number: int) -> ProcessStatus | None:
    """The process of that number; None if there is none."""
    text = _content(number, "stat")
    if not text:
        return None
    fields = text.rpartition(b")")[2].split(None, 22)
    pages = int(fields[21])
    ticks = int(fields[11]) + int(fields[12])
    memory = pages * os.sysconf("SC_PAGE_SIZE")
    return ProcessStatus(number, int(fields[3]), fields[0].decode(), int(fields[19]), ticks, memory)


def processes() -> Iterator[ProcessStatus]:
    """Every process of this machine."""
    for name in os.listdir(PROC):
        if name.isdigit():
            status = process_status(int(name))
            if status is not None:
                yield status


def variable_of(number: int, name: str) -> str:
    """A variable that a process was started with; "" without it, or if it may not be looked at."""
    data = b"\0" + _content(number, "environ")
    value = data.partition(f"\0{name}=".encode())[2].partition(b"\0")[0]
    return value.decode(errors="replace")


def _content(number: int, name: str) -> bytes:
    """A file of a process; empty if there is none. `open` takes twice as long for one so small."""
    try:
        descriptor = os.open(f"{PROC}/{number}/{name}", os.O_RDONLY)
    except OSError:
        return b""
    try:
        content = part = os.read(descriptor, READ_BYTES)
        while len(part) == READ_BYTES:
            part = os.read(descriptor, READ_BYTES)
            content += part
    except OSError:
        return b""
    else:
        return content
    finally:
        os.close(descriptor)


def reap_children() -> None:
    """Wait for children that have ended; those of the agent before this one, in its process.

    Call it before anything else is started: it takes the exit code of any child.
    """
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def boot_id() -> str:
    """Text that is another one after each start of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()
