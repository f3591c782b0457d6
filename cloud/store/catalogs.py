"""Catalogs kept from one transaction to the next as long as no resource has changed."""

import threading
from collections.abc import Callable

from cloud.core.desired import Catalog

_LIMIT = 1024
"""Namespaces remembered at most."""


class Catalogs:
    """Owns the catalogs; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By namespace: the revision of the resources it was made of, and the catalog.
        self._kept: dict[str, tuple[int, Catalog]] = {}

    def catalog(self, namespace: str, revision: int, build: Callable[[], Catalog]) -> Catalog:
        """The one catalog of *namespace* at *revision*, which has to be a committed one."""
        kept = self._kept.get(namespace)
        if kept is not None and kept[0] == revision:
            return kept[1]
        built = build()
        with self._lock:
            kept = self._kept.get(namespace)
            if kept is not None and kept[0] == revision:
                return kept[1]
            if kept is None or kept[0] < revision:
                if kept is None and len(self._kept) >= _LIMIT:
                    self._kept.clear()
                self._kept[namespace] = (revision, built)
        return built
