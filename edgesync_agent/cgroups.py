"""Limits and usage of host processes by cgroup v2, where this agent may make groups.

That is so in the agent's own unit of systemd, which has `Delegate=yes`
(https://systemd.io/CGROUP_DELEGATION/), and at the root of all groups, as in a container. Groups
that something else manages are left alone: elsewhere there is no `Cgroups`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

APPS = "edgesync-apps"  # the group that holds one group for each instance
AGENT = "edgesync-agent"  # where the agent moves: a group with controllers holds no processes
UNIT = "edgesync-agent.service"
NEEDED = ("cpu", "memory")
PERIOD = 100_000  # microseconds over which a limit of CPU time counts


class Cgroups:
    """Makes a group for each instance below *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, name: str, cpu: int, memory: int) -> Path:
        """A group with limits (1e-9 cores, bytes; 0: none); the file that takes its processes."""
        group = self.folder / name
        group.mkdir(exist_ok=True)
        quota = str(max(cpu * PERIOD // 10**9, 1000)) if cpu else "max"
        (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        (group / "memory.max").write_text(str(memory) if memory else "max")
        if memory:
            with contextlib.suppress(OSError):  # not in kernels before 4.19
                (group / "memory.oom.group").write_text("1")
        return group / "cgroup.procs"

    def kill(self, name: str) -> None:
        """End every process of the group at once, where the kernel can (5.14)."""
        with contextlib.suppress(OSError):
            (self.folder / name / "cgroup.kill").write_text("1")

    def remove(self, name: str) -> None:
        """Remove the group, which has no processes any more."""
        with contextlib.suppress(OSError):
            (self.folder / name).rmdir()

    def has_run_out_of_memory(self, name: str) -> bool:
        """Whether the kernel has killed a process of the group for its limit."""
        return self._count(name, "memory.events", "oom_kill") > 0

    def usage(self, name: str) -> tuple[float, int] | None:
        """Seconds of CPU time so far, and bytes of memory now; None if there is no such group."""
        try:
            memory = int((self.folder / name / "memory.current").read_text())
        except (OSError, ValueError):
            return None
        return self._count(name, "cpu.stat", "usage_usec") / 1e6, memory

    def _count(self, name: str, file: str, key: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            for line in (self.folder / name / file).read_text().splitlines():
                if line.split()[0] == key:
                    return int(line.split()[1])
        return 0


def find_cgroups(proc: Path = Path("/proc")) -> Cgroups | None:
    """Groups below the agent's own; None where the kernel or its owner does not allow it."""
    try:
        own = _own_group(proc)
        if own is None or not set(NEEDED) <= set((own / "cgroup.controllers").read_text().split()):
            return None
        if own.name == AGENT:  # moved by an earlier start
            own = own.parent
        for name in (AGENT, APPS):
            (own / name).mkdir(exist_ok=True)
        (own / AGENT / "cgroup.procs").write_text(str(os.getpid()))
        enable = " ".join(f"+{name}" for name in NEEDED)
        for group in (own, own / APPS):
            (group / "cgroup.subtree_control").write_text(enable)
    except OSError:
        return None
    return Cgroups(own / APPS)


def _own_group(proc: Path) -> Path | None:
    """Where the agent's group of cgroup v2 is mounted; None if it is not the agent's alone."""
    for line in (proc / "self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            group = line[3:].strip("/")
            break
    else:
        return None
    if group and UNIT not in group.split("/") and group != AGENT:
        return None
    for line in (proc / "self/mounts").read_text().splitlines():
        _, place, kind = line.split()[:3]
        if kind == "cgroup2":
            return Path(place) / group
    return None
