"""The small notations of Compose files: ports, durations, sizes. Errors are ValueError."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:us|ms|s|m|h|d|w))+")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt])?i?b?", re.IGNORECASE)
_SHORT_PORT = re.compile(
    r"(?:(?P<ip>\[[0-9a-fA-F:]+\]|[0-9]+(?:\.[0-9]+){3}):)?(?:(?P<published>[0-9-]*):)?"
    r"(?P<target>[0-9-]+)(?:/(?P<protocol>tcp|udp|sctp))?"
)
PORTS_LIMIT = 1_000
"""Ports that one range may have."""


@dataclass(frozen=True, slots=True)
class PortMapping:
    """One port of a container; *published* is 0 where the host's port is not fixed."""

    target: int
    published: int
    host_ip: str
    protocol: str

    def manifest(self) -> dict[str, Any]:
        """The port as an app has it."""
        port: dict[str, Any] = {"containerPort": self.target}
        if self.published:
            port["hostPort"] = self.published
        if self.host_ip:
            port["hostIP"] = self.host_ip
        if self.protocol != "tcp":
            port["protocol"] = self.protocol.upper()
        return port


def short_ports(text: str) -> Iterator[PortMapping]:
    """Ports of the short notation: `[IP:][PUBLISHED:]TARGET[/PROTOCOL]`, each maybe a range."""
    found = _SHORT_PORT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:60]!r} is not a port")
    ip = (found["ip"] or "").strip("[]")
    yield from port_range(found["target"], found["published"] or "", ip, found["protocol"] or "tcp")


def port_range(target: str, published: str, ip: str, protocol: str) -> Iterator[PortMapping]:
    """Ports of two ranges of the same length; *published* may be empty."""
    inner = _range(target)
    outer = _range(published) if published else None
    if outer is not None and len(outer) != len(inner):
        if len(inner) != 1:
            raise ValueError(f"{published} and {target} are ranges of different lengths")
        outer = outer[:1]
    for at, number in enumerate(inner):
        yield PortMapping(number, outer[at] if outer else 0, ip, protocol)


def _range(text: str) -> range:
    first, dash, last = text.partition("-")
    try:
        numbers = range(int(first), int(last if dash else first) + 1)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a port or a range of ports") from None
    if not numbers or numbers[0] < 1 or numbers[-1] > 65_535 or len(numbers) > PORTS_LIMIT:
        raise ValueError(f"{text[:40]!r} is not a port or a range of ports")
    return numbers


def seconds(text: str) -> float:
    """Seconds of a duration such as `1m30s`; a plain number is of microseconds, as in Compose."""
    if text.isdigit():
        return int(text) / 1e6
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a duration such as 30s or 1m30s")
    parts = re.findall(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)", text)
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def size(text: str) -> str:
    """A size such as `512m` or `1.5gb`, whose units are powers of 1024, as a quantity."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a size such as 512m")
    number, unit = Decimal(found[1]), (found[2] or "b").lower()
    if unit != "b" and number == number.to_integral_value():
        return f"{int(number)}{unit.upper()}i"
    return str(int(number * 1024 ** "bkmgt".index(unit)))
