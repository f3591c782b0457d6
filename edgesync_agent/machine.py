"""Facts about this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import socket
from pathlib import Path
from typing import Any, Callable, Mapping

from edgesync_agent.errors import AgentError

PLACEHOLDERS = frozenset(
    {
        "uninitialized",
        "not settable",
        "not applicable",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",
    }
)
"""Placeholders of makers and images in place of an id: they identify no machine."""


def first_line(path: str) -> str:
    """First line of a file without white space around it; empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def facts(address: str, runtime: str) -> dict[str, str]:
    """The `node` of a report; *runtime* is what runs containers here."""
    names = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
    image = ""
    with contextlib.suppress(OSError):
        found = re.search(r'^PRETTY_NAME="?(.*?)"?$', Path("/etc/os-release").read_text(), re.M)
        image = found.group(1) if found else ""
    return {
        "hostname": socket.gethostname(),
        "address": address,
        "arch": names.get(platform.machine(), platform.machine()),
        "kernelVer": platform.release(),
        "os": platform.system().lower(),
        "containerRuntime": runtime,
        "machineID": first_line("/etc/machine-id"),
        "bootID": first_line("/proc/sys/kernel/random/boot_id"),
        "systemUUID": first_line("/sys/class/dmi/id/product_uuid"),
        "osImage": image,
    }


class Usage:
    """CPU and memory in use; CPU over the time since it was last asked for."""

    def __init__(self) -> None:
        self.before = self._ticks()  # busy and all, at the last look

    def stats(self) -> dict[str, dict[str, str]]:
        """The `nodestats` of a report; empty where there is no /proc."""
        lines = []
        with contextlib.suppress(OSError):
            lines = Path("/proc/meminfo").read_text().splitlines()
        memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if "kB" in line}
        total, free = memory.get("MemTotal", 0), memory.get("MemAvailable", 0)
        if not total:
            return {}
        cores = os.cpu_count() or 1
        now = self._ticks()
        busy, everything = (after - before for after, before in zip(now, self.before))
        if everything > 0:
            self.before = now
        used = cores * busy / everything if everything > 0 else 0.0
        return {
            "usage": {"cpu": f"{used:.3f}", "memory": str(total - free)},
            "capacity": {"cpu": str(cores), "memory": str(total)},
        }

    @staticmethod
    def _ticks() -> tuple[int, int]:
        ticks = [int(part) for part in first_line("/proc/stat").split()[1:9]]
        idle = sum(ticks[3:5])
        return sum(ticks) - idle, sum(ticks)


def fingerprint(
    batch: dict[str, Any],
    root: Path = Path("/"),
    variables: Mapping[str, str] = os.environ,
) -> str:
    """Who this machine is to its batch (docs/protocol.md, "Fingerprint").

    AgentError names the first property that is not there, where it was looked for, and what helps.
    *root* stands in for `/` before everything but the batch's own file.
    """
    boot, board = root / "proc/sys/kernel/random/boot_id", root / "sys/class/dmi/id/product_uuid"
    typed = f"the variable EDGESYNC_INPUT ({batch['inputField']})"
    sources: list[tuple[int, str, str, Callable[[], str]]] = [
        (1, "sn", batch["snPath"], lambda: _only_line(Path(batch["snPath"]))),
        (2, "input", typed, lambda: variables.get("EDGESYNC_INPUT", "")),
        (4, "hostname", "the host name", socket.gethostname),
        (8, "bootid", str(boot), lambda: _only_line(boot)),
        (16, "systemuuid", str(board), lambda: _only_line(board)),
        (
            32,
            "machineid",
            str(root / "etc/machine-id"),
            lambda: _only_line(root / "etc/machine-id"),
        ),
    ]
    values = []
    for bit, name, place, read in sources:
        if batch["type"] & bit:
            values.append(_value(name, place, read))
    if len(values) == 1:
        return values[0]
    return hashlib.sha256("\n".join(v.lower() for v in values).encode()).hexdigest()[:40]


def _value(name: str, place: str, read: Callable[[], str]) -> str:
    try:
        value = read().strip()
    except PermissionError:
        why = "this user may not read it; run the command as root"
    except UnicodeDecodeError:
        why = "it is no text"
    except OSError as error:
        why = error.strerror or str(error)
    else:
        if value and value.lower() not in PLACEHOLDERS:
            return value
        why = f"{value!r} stands there on many machines" if value else "it is empty"
    raise AgentError(f"the fingerprint is not complete: no {name} from {place}: {why}")


def _only_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[0] if lines else ""
