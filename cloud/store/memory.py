"""What is kept from one transaction to the next, as long as what it was made of has not changed."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cloud.core.desired import Catalog

T = TypeVar("T")

_LIMIT = 1024
"""Values of a sort remembered at most."""


class Kept(Generic[T]):
    """Owns values of one sort, each with the revision it was made at; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[int, T]] = {}

    def value(self, key: Hashable, revision: int, make: Callable[[], T]) -> T:
        """The one value of *key* at *revision*, which has to be a committed one."""
        kept = self._kept.get(key)
        if kept is not None and kept[0] == revision:
            return kept[1]
        made = make()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept[0] == revision:
                return kept[1]
            if kept is None or kept[0] < revision:
                if kept is None and len(self._kept) >= _LIMIT:
                    self._kept.clear()
                self._kept[key] = (revision, made)
        return made


class Memory:
    """All that the transactions of one store have in common beside the database."""

    def __init__(self) -> None:
        # By namespace, at a revision of the resources.
        self.catalogs: Kept[Catalog] = Kept()
        # Of what a list selects: by kind, namespace and selectors, at a revision of the labels.
        self.totals: Kept[int] = Kept()
