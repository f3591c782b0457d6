"""Simulated nodes in a process of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.end_to_end.conftest import Server
from tests.preloaded import ForkedProcess


@contextmanager
def simulated(
    server: Server,
    batch: dict[str, Any],
    folder: Path,
    count: int,
    *arguments: str,
    interval: float,
    tree: Path | None = None,
) -> Iterator[None]:
    """The first *count* nodes run meanwhile, whatever becomes of the server; more *arguments*.

    They are gone from one moment to the next, and go on from *folder* when they run again. They are
    of the version whose source is in *tree*, by default of this one.
    """
    command = ["sim", "--count", str(count)]
    command += ["--batch", batch["name"], "--token", batch["securityKey"], "--ca", server.ca]
    command += ["--activation", server.activation, "--mqtt", f"127.0.0.1:{server.mqtt_port}"]
    command += ["--state-dir", str(folder), "--apply-delay", "0", "--interval", str(interval)]
    command += arguments
    process = ForkedProcess(command, "/dev/null", tree=tree)
    try:
        yield
    finally:
        process.kill()
        process.wait(timeout=60)
