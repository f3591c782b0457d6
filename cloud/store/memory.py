"""What is kept from one transaction to the next, as long as what it was made of has not changed."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from cloud.core.desired import Catalog

T = TypeVar("T")

_LIMIT = 1024
"""Values of a sort remembered at most."""

CHANGES_AT_MOST = 500
"""Changes of labels remembered at most, of a kind and namespace; 2 ms to look through."""


class Kept(Generic[T]):
    """Owns values of one sort, each with the revision it was made at; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[int, T]] = {}

    def value(self, key: Hashable, revision: int, make: Callable[[tuple[int, T] | None], T]) -> T:
        """The one value of *key* at *revision*, which has to be a committed one.

        *make* is given what is kept of another revision, with that one.
        """
        kept = self._kept.get(key)
        if kept is not None and kept[0] == revision:
            return kept[1]
        made = make(kept)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept[0] == revision:
                return kept[1]
            if kept is None or kept[0] < revision:
                if kept is None and len(self._kept) >= _LIMIT:
                    self._kept.clear()
                self._kept[key] = (revision, made)
        return made


LabelsPlace = tuple[str, str]
"""Kind and namespace of labels; each has a revision of its own."""


@dataclass(frozen=True, slots=True)
class LabelChange:
    """What the labels of one thing were and are; None where it is not there."""

    before: Mapping[str, str] | None
    after: Mapping[str, str] | None


class LabelChanges:
    """Owns the last changes of labels, by the revisions they led to; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Revisions follow each other without a gap.
        self._noted: dict[LabelsPlace, deque[tuple[int, Sequence[LabelChange]]]] = {}

    def note(self, place: LabelsPlace, revision: int, changes: Sequence[LabelChange]) -> None:
        """Keep what a committed transaction has changed; what is not noted here is a gap."""
        with self._lock:
            if place not in self._noted and len(self._noted) >= _LIMIT:
                self._noted.clear()
            noted = self._noted.setdefault(place, deque())
            last = noted[-1][0] if noted else revision - 1
            if revision > last + 1:
                noted.clear()
            if revision > last:
                noted.append((revision, changes))
            while sum(len(changes) for _, changes in noted) > CHANGES_AT_MOST:
                noted.popleft()

    def between(self, place: LabelsPlace, start: int, end: int) -> Sequence[LabelChange] | None:
        """All that made *end* of the revision *start*; None if that is not known."""
        with self._lock:
            noted = self._noted.get(place)
            first = noted[0][0] if noted else 0
            if not noted or not first - 1 <= start <= end <= noted[-1][0]:
                return None
            found = islice(noted, start + 1 - first, end + 1 - first)
            return [change for _, changes in found for change in changes]


class Memory:
    """All that the transactions of one store have in common beside the database."""

    def __init__(self) -> None:
        # By namespace, at a revision of the resources.
        self.catalogs: Kept[Catalog] = Kept()
        # Of what a list selects: by kind, namespace and selectors, at a revision of the labels.
        self.totals: Kept[int] = Kept()
        self.changes = LabelChanges()
