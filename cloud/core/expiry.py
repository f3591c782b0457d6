"""Expiry of node certificates: what is counted, and what is due."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

RENEWAL_DUE = timedelta(days=30)
"""A node renews at two thirds of 90 days, so one with less than this left is late."""

BOUNDS: Mapping[str, timedelta] = {
    "expired": timedelta(),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
"""Buckets by what is left, each up to its bound; what is beyond the last is in MORE."""

MORE = "more"


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """When a node is shut out unless it renews: the end of that certificate which ends last."""

    namespace: str
    name: str
    serial: int
    expires: datetime


def bounds_from(now: datetime) -> Sequence[datetime]:
    """The moments between the buckets, rising."""
    return [now + bound for bound in BOUNDS.values()]


def buckets(counts: Sequence[int], total: int) -> Mapping[str, int]:
    """How many end in each bucket, where *counts* end by the bounds, one after the other."""
    edges = [0, *counts, total]
    sizes = (after - before for before, after in pairwise(edges))
    return dict(zip((*BOUNDS, MORE), sizes, strict=True))
