"""The facts and usage of a node: generated from a seed, or read from this machine."""

import platform
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Protocol
from uuid import UUID

import psutil

from agent_sim.model import NodeFacts, NodeUsage

GIBIBYTE = 1024**3

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class FactSource(Protocol):
    """Where a node's facts and usage come from."""

    def facts(self) -> NodeFacts:
        """Facts that are constant while the node runs."""

    def usage(self) -> NodeUsage:
        """Resources in use since the last call."""


class SimulatedSource:
    """A plausible gateway that is another one for each *index* and the same for each *seed*."""

    def __init__(self, index: int, seed: int) -> None:
        self._random = Random(f"{seed}/{index}")  # noqa: S311  # plausible, not secret
        self._index = index
        self._cores = self._random.choice((2, 4, 8))
        self._memory = self._cores * GIBIBYTE
        # Shares in use; they wander a little at each measurement.
        self._cpu_share = self._random.uniform(0.05, 0.4)
        self._memory_share = self._random.uniform(0.2, 0.6)
        self._facts = self._make_facts()

    def facts(self) -> NodeFacts:
        """Facts that are constant while the node runs."""
        return self._facts

    def usage(self) -> NodeUsage:
        """Wander up to two hundredths from the last usage."""
        self._cpu_share = self._wander(self._cpu_share)
        self._memory_share = self._wander(self._memory_share)
        cpu = f"{self._cpu_share * self._cores:.2f}"
        return NodeUsage(cpu, str(int(self._memory_share * self._memory)))

    def _wander(self, share: float) -> float:
        return min(0.95, max(0.01, share + self._random.uniform(-0.02, 0.02)))

    def _make_facts(self) -> NodeFacts:
        high, low = divmod(self._index, 250)
        node = {
            "hostname": f"gateway-{self._index:04d}",
            "address": f"10.{high // 250}.{high % 250}.{low + 1}",
            "arch": self._random.choice(("amd64", "arm64")),
            "kernelVer": self._random.choice(("6.1.0-28", "6.6.51", "6.8.0-49-generic")),
            "os": "linux",
            "osImage": self._random.choice(("Debian GNU/Linux 12 (bookworm)", "Ubuntu 24.04 LTS")),
            "containerRuntime": "",
            "machineID": f"{self._random.getrandbits(128):032x}",
            "bootID": str(UUID(int=self._random.getrandbits(128), version=4)),
            "systemUUID": str(UUID(int=self._random.getrandbits(128), version=4)),
        }
        return NodeFacts(node, NodeUsage(str(self._cores), str(self._memory)))


class HostSource:
    """This machine; what is unknown is an empty string. *root* stands in for `/` in tests."""

    def __init__(
        self, root: Path = Path("/"), hostname: Callable[[], str] = socket.gethostname
    ) -> None:
        self._root = root
        self._hostname = hostname
        psutil.cpu_percent()  # the first call returns 0: it has nothing to compare with

    def facts(self) -> NodeFacts:
        """Facts that are constant while the node runs."""
        machine = platform.machine()
        node = {
            "hostname": self._hostname(),
            "address": _address(),
            "arch": _ARCHITECTURES.get(machine, machine),
            "kernelVer": platform.release(),
            "os": platform.system().lower(),
            "osImage": self._os_image(),
            "containerRuntime": "",
            "machineID": self._line("etc/machine-id"),
            "bootID": self._line("proc/sys/kernel/random/boot_id"),
            "systemUUID": self._line("sys/class/dmi/id/product_uuid"),
        }
        cores = str(psutil.cpu_count() or 1)
        return NodeFacts(node, NodeUsage(cores, str(psutil.virtual_memory().total)))

    def usage(self) -> NodeUsage:
        """Resources in use since the last call."""
        memory = psutil.virtual_memory()
        cores = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1)
        return NodeUsage(f"{cores:.2f}", str(memory.total - memory.available))

    def _os_image(self) -> str:
        try:
            text = (self._root / "etc/os-release").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key == "PRETTY_NAME":
                return value.strip().strip("\"'")
        return ""

    def _line(self, path: str) -> str:
        try:
            return (self._root / path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""


def _address() -> str:
    """First IPv4 address of this machine that is not its loopback's."""
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            if entry.family == socket.AF_INET and not entry.address.startswith("127."):
                return str(entry.address)
    return ""
