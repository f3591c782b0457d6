"""Values that outlive a transaction, each valid as long as its source has not changed."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Generic, TypeVar

from cloud.core.desired import Catalog
from cloud.core.rollout_stages import RolloutNode

T = TypeVar("T")

_LIMIT = 1024
"""Values of a sort remembered at most."""

_SELECTED_LIMIT = 16
"""Fleets that are rolled out to, remembered at most; 10,000 nodes are about 6 MB."""

CHANGES_AT_MOST = 500
"""Changes of labels remembered at most, of a kind and namespace; 2 ms to look through."""


class RevisionCache(Generic[T]):
    """Owns values of one sort, each with the revision it was made at; safe for threads."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[int, T]] = {}

    def value(self, key: Hashable, revision: int, make: Callable[[tuple[int, T] | None], T]) -> T:
        """The one value of *key* at *revision*, which has to be a committed one.

        *make* is given what is stored of another revision, with that one.
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
                if kept is None and len(self._kept) >= self._limit:
                    self._kept.clear()
                self._kept[key] = (revision, made)
        return made


@dataclass(frozen=True, slots=True)
class SelectedNodes:
    """The *labels* of the nodes that a selector selects, and their *names* as a JSON array.

    In the order of rollouts. *are_most*: the namespace has few others. *present* are the nodes
    while they are online, by since when they can be heard; only the last such time is there.
    """

    labels: Mapping[str, Mapping[str, str]]
    names: str
    are_most: bool
    present: dict[datetime | None, Sequence[RolloutNode]] = field(default_factory=dict)


LabelsPlace = tuple[str, str]
"""Kind and namespace of labels; each has a revision of its own."""


@dataclass(frozen=True, slots=True)
class LabelChange:
    """The labels of one thing before and after a change; None where it is not there."""

    before: Mapping[str, str] | None
    after: Mapping[str, str] | None


class LabelChanges:
    """Owns the last changes of labels, by the revisions they led to; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Revisions follow each other without a gap.
        self._recorded: dict[LabelsPlace, deque[tuple[int, Sequence[LabelChange]]]] = {}

    def record(self, place: LabelsPlace, revision: int, changes: Sequence[LabelChange]) -> None:
        """Record what a committed transaction has changed; what is not recorded is a gap."""
        with self._lock:
            if place not in self._recorded and len(self._recorded) >= _LIMIT:
                self._recorded.clear()
            recorded = self._recorded.setdefault(place, deque())
            last = recorded[-1][0] if recorded else revision - 1
            if revision > last + 1:
                recorded.clear()
            if revision > last:
                recorded.append((revision, changes))
            while sum(len(changes) for _, changes in recorded) > CHANGES_AT_MOST:
                recorded.popleft()

    def between(self, place: LabelsPlace, start: int, end: int) -> Sequence[LabelChange] | None:
        """All that made *end* of the revision *start*; None if that is not known."""
        with self._lock:
            recorded = self._recorded.get(place)
            first = recorded[0][0] if recorded else 0
            if not recorded or not first - 1 <= start <= end <= recorded[-1][0]:
                return None
            found = islice(recorded, start + 1 - first, end + 1 - first)
            return [change for _, changes in found for change in changes]


class StoreCache:
    """The values that the transactions of one store share."""

    def __init__(self) -> None:
        # By namespace, at a revision of the resources.
        self.catalogs: RevisionCache[Catalog] = RevisionCache()
        # Of what a list selects: by kind, namespace and selectors, at a revision of the labels.
        self.totals: RevisionCache[int] = RevisionCache()
        # By namespace and selector, at a revision of the labels of nodes.
        self.selected: RevisionCache[SelectedNodes] = RevisionCache(_SELECTED_LIMIT)
        self.changes = LabelChanges()
