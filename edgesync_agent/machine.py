"""What is true of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import socket
from pathlib import Path
from typing import Any, Callable

from edgesync_agent.errors import Trouble


def first_line(path: str) -> str:
    """First line of a file without white space around it; empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def facts(address: str) -> dict[str, str]:
    """The `node` of a report."""
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
        "containerRuntime": "",
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


def fingerprint(batch: dict[str, Any]) -> str:
    """Who this machine is to its batch (docs/protocol.md, "Fingerprint"); Trouble if unknown."""
    sources: list[tuple[int, str, Callable[[], str]]] = [
        (1, f"sn: no first line in {batch['snPath']}", lambda: first_line(batch["snPath"])),
        (
            2,
            f"input ({batch['inputField']}): put it into the variable EDGESYNC_INPUT",
            lambda: os.environ.get("EDGESYNC_INPUT", "").strip(),
        ),
        (4, "hostname: this machine has none", lambda: socket.gethostname().strip()),
        (8, "bootid: no boot_id", lambda: first_line("/proc/sys/kernel/random/boot_id")),
        (
            16,
            "systemuuid: cannot read product_uuid (only root can)",
            lambda: first_line("/sys/class/dmi/id/product_uuid"),
        ),
        (32, "machineid: no /etc/machine-id", lambda: first_line("/etc/machine-id")),
    ]
    values = []
    for bit, lacking, value in sources:
        if batch["type"] & bit:
            values.append(value())
            if not values[-1]:
                raise Trouble(f"the fingerprint is not complete: {lacking}")
    if len(values) == 1:
        return values[0]
    return hashlib.sha256("\n".join(v.lower() for v in values).encode()).hexdigest()[:40]
