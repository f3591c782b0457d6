"""Lists: which resources of a namespace, and which page of them (contract, "List Node")."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

Place = tuple[datetime, str]
"""Where something stands in a list: when it was made, then its name."""


LIST_LIMIT = 10_000
"""Items in one answer of a list, also where the caller asks for more or for all."""


LIST_BYTES = 16 * 1024 * 1024
"""Bytes of the stored resources that one answer of a list is made of, or one resource."""


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The options of a list request; *limit* 0 is no limit, *after* ends the page before.

    *now* is the moment that states of nodes are of; None where no field depends on it. Lists of
    nodes are in the order *sort* (`core.node_sorting`).
    The page ends early where its resources, as they are stored, have more than *most_bytes*; 0 is
    no limit.
    """

    selector: str = ""
    field_selector: str = ""
    limit: int = 0
    after: Place | None = None
    now: datetime | None = None
    most_bytes: int = 0
    sort: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list: *total* counts all pages, the next begins *after* (None: there is none)."""

    items: Sequence[T]
    total: int
    after: Place | None = None

    def each(self, change: Callable[[T], U]) -> "Page[U]":
        """The same page with every item changed."""
        return Page([change(item) for item in self.items], self.total, self.after)


@dataclass(frozen=True, slots=True)
class NumberedPage(Generic[T]):
    """Some of a list, by page number (contract, "List Product")."""

    items: Sequence[T]
    total: int
    number: int
    size: int


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Which page, counted from 1, of how many items; *name* is a part of the names wanted."""

    number: int = 1
    size: int = 20
    name: str = ""
