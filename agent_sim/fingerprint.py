"""The fingerprint of a device: reads the properties that count and combines them.

docs/protocol.md, "Fingerprint".
"""

import hashlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

from agent_sim.errors import FingerprintError


class Property(IntFlag):
    """The bits of a batch's `fingerprint.type`."""

    SN = 1
    INPUT = 2
    HOSTNAME = 4
    BOOTID = 8
    SYSTEMUUID = 16
    MACHINEID = 32


ALL = 63
HEX_DIGITS = 40
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
"""Placeholders of makers and images in place of an id: they do not identify a machine."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look; *root* stands in for `/` before everything but *sn_path*."""

    sn_path: Path | None = None
    input_value: str = ""
    root: Path = Path("/")
    hostname: Callable[[], str] = socket.gethostname

    def value(self, wanted: Property) -> str:
        """Read one property, without white space around it; FingerprintError if it is empty."""
        match wanted:
            case Property.SN:
                if self.sn_path is None:
                    raise FingerprintError("sn", "--sn-path", "not given")
                return _first_line("sn", self.sn_path)
            case Property.INPUT:
                return _not_empty("input", "--input-value", self.input_value)
            case Property.HOSTNAME:
                return _not_empty("hostname", "the host name", self.hostname())
            case Property.BOOTID:
                return _first_line("bootid", self.root / "proc/sys/kernel/random/boot_id")
            case Property.SYSTEMUUID:
                return _first_line("systemuuid", self.root / "sys/class/dmi/id/product_uuid")
            case Property.MACHINEID:
                return _first_line("machineid", self.root / "etc/machine-id")
            case _:
                raise ValueError(f"not one property: {wanted!r}")


def properties_of(mask: int) -> tuple[Property, ...]:
    """The properties that count, in ascending order of their bits; ValueError unless 1 to 63."""
    if not 1 <= mask <= ALL:
        raise ValueError(f"not a fingerprint type: {mask}")
    return tuple(each for each in Property if mask & each)


def collect(mask: int, sources: Sources) -> dict[Property, str]:
    """Read every property of *mask*; FingerprintError names the first that is not there."""
    return {each: sources.value(each) for each in properties_of(mask)}


def combine(mask: int, values: Mapping[Property, str]) -> str:
    """The value a node claims: its one property, or the digest of several."""
    texts = [values[each].strip() for each in properties_of(mask)]
    if len(texts) == 1:
        return texts[0]
    joined = "\n".join(text.lower() for text in texts)
    return hashlib.sha256(joined.encode()).hexdigest()[:HEX_DIGITS]


def fingerprint(mask: int, sources: Sources) -> str:
    """Read and combine."""
    return combine(mask, collect(mask, sources))


def _first_line(name: str, path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise FingerprintError(name, str(path), error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise FingerprintError(name, str(path), "not UTF-8") from error
    return _not_empty(name, str(path), lines[0] if lines else "")


def _not_empty(name: str, source: str, value: str) -> str:
    if not value.strip():
        raise FingerprintError(name, source, "empty")
    if value.strip().lower() in PLACEHOLDERS:
        raise FingerprintError(name, source, f"{value.strip()!r} stands there on many machines")
    return value.strip()
