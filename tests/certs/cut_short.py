"""Run a first start again and again, each time ended by the system one step later.

`python -m tests.certs.cut_short DIRECTORY` leaves DIRECTORY/N as the Nth death left it. Dying in
`os._exit` inside an audit hook (PEP 578) leaves the disk as a killed process does.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from certs.files import ensure_server_certificate, load_or_create_authority

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = frozenset({"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod"})
DIED = 9


def start(data: Path) -> None:
    authority = load_or_create_authority(data / "ca", now=NOW)
    ensure_server_certificate(data / "ca", authority, ["localhost"], ["127.0.0.1"], now=NOW)


def start_and_die(data: Path, steps: int) -> None:
    done = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event in STEPS and str(data) in str(arguments[0]):
            done += 1
            if done > steps:
                os._exit(DIED)

    sys.addaudithook(count)
    start(data)


def main(directory: Path) -> int:
    for steps in range(1000):
        data = directory / str(steps)
        data.mkdir()
        child = os.fork()  # one thread, so nothing is lost by forking
        if child == 0:
            start_and_die(data, steps)
            return 0
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != DIED:
            return status
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
