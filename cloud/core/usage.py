"""Usage of a node's resources over a day: a ring of points, one step apart.

A point is noted with the first message of a step that contains usage. Where it lies in
the ring follows from its time alone, so that the ring never grows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from cloud.core.quantities import parse_quantity

DAY = timedelta(days=1)
"""How far back the ring goes."""

DEFAULT_USAGE_STEP = timedelta(minutes=5)
"""The default interval of one point."""

_STATS_KEYS = frozenset({"usage", "capacity", "percent"})
_LARGEST = 2**62
_ALL = 10_000


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """The usage of a node at *time*; None where that is not known.

    *cpu* is thousandths of a core, *memory* bytes, the parts are ten-thousandths of what there is.
    """

    time: datetime
    cpu: int | None = None
    memory: int | None = None
    cpu_part: int | None = None
    memory_part: int | None = None


class _Stats(msgspec.Struct):
    nodestats: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Stats)


@lru_cache(maxsize=16)
def step_of(now: datetime, step: timedelta) -> int:
    """The number of the step that *now* is in; 0 if there is no history."""
    return int(now.timestamp() // step.total_seconds()) if step else 0


def slot_of(number: int, step: timedelta) -> int:
    """Where in the ring the point of the step of that *number* lies."""
    return number % (DAY // step)


def usage_point(report: bytes, later: bytes | None, now: datetime) -> UsagePoint | None:
    """The usage by a *report* and the stats that came *later*, if any, as of *now*; None: nothing.

    Both are documents as they are stored. Several machines of one node count as one: what they use
    and have is added up.
    """
    machines = _machines(_DECODER.decode(report).nodestats)
    newer = _machines(_DECODER.decode(later).nodestats) if later else {}
    if len(machines) == len(newer) == 1:
        # A machine may be called by its name in one message and by none in the other.
        newer = dict(zip(machines, newer.values(), strict=True))
    known = [_merged(machines.get(name), newer.get(name)) for name in {**machines, **newer}]
    if not known:
        return None
    cpu, cpus = _sum(known, "usage", "cpu"), _sum(known, "capacity", "cpu")
    memory, memories = _sum(known, "usage", "memory"), _sum(known, "capacity", "memory")
    if cpu is None and memory is None:
        return None
    return UsagePoint(
        now, _whole(cpu, 1000), _whole(memory), _part(cpu, cpus), _part(memory, memories)
    )


def _machines(nodestats: Mapping[str, Any] | None) -> Mapping[str, Mapping[str, Any]]:
    """By name; the only one may have none."""
    if not nodestats:
        return {}
    if not _STATS_KEYS.isdisjoint(nodestats):
        return {"": nodestats}
    return {name: own for name, own in nodestats.items() if isinstance(own, Mapping)}


def _merged(
    stats: Mapping[str, Any] | None, later: Mapping[str, Any] | None
) -> Mapping[str, Mapping[str, Any]]:
    return {
        part: {**_mapping((stats or {}).get(part)), **_mapping((later or {}).get(part))}
        for part in ("usage", "capacity")
    }


def _sum(
    machines: Iterable[Mapping[str, Mapping[str, Any]]], part: str, key: str
) -> Decimal | None:
    """None where a machine does not report it: a part of the sum would pass for the whole."""
    total = Decimal()
    for machine in machines:
        value = machine[part].get(key)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        quantity = parse_quantity(str(value))
        if quantity is None:
            return None
        total += quantity
    return total


def _whole(quantity: Decimal | None, times: int = 1) -> int | None:
    return None if quantity is None else min(int(quantity * times), _LARGEST)


def _part(used: Decimal | None, whole: Decimal | None) -> int | None:
    if used is None or not whole:
        return None
    return min(int(used * _ALL / whole), _ALL)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
