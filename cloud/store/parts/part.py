"""The base of all parts of a transaction: statements to run, values to seal, pages."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from cloud.core.decoding import check_text
from cloud.core.listing import ListOptions, Page, PageOptions, Place
from cloud.core.node import Node
from cloud.core.resource import UnversionedResource, VersionedResource
from cloud.core.system_apps import SystemApps
from cloud.store.rows import ALL, Parameters, Row, micros
from cloud.store.sealing import Sealer
from cloud.store.statements import Statement

T = TypeVar("T")

Resource = VersionedResource[Any] | SystemApps

Sealed = Resource | UnversionedResource[Any]

NOTHING: Parameters = {}
"""For a statement without parameters."""


class DuplicateKey(Exception):
    """A statement would have made a second row with a key that must be unique."""


class BrokenReference(Exception):
    """A statement would have made a row refer to one that is not there."""


class Run(Protocol):
    """Runs statements."""

    def __call__(self, statement: Statement, parameters: Parameters, /) -> Sequence[Row]:
        """All rows of *statement*.

        Raises DuplicateKey, BrokenReference or cloud.errors.Unavailable.
        """
        ...

    def each(self, statement: Statement, rows: Sequence[Parameters], /) -> None:
        """Run *statement*, which gives back nothing, with each of *rows*; raises the same."""
        ...


def check_parameters(parameters: Parameters) -> None:
    """Refuse, as Invalid, what not every database can store; callers check their fields before."""
    # For each value of each row: most are short and ASCII, which takes a sixth of calling.
    for value in parameters.values():
        if type(value) is str and not (value.isascii() and "\0" not in value):
            check_text("", value)


class TransactionPart:
    """A group of methods of a `Transaction`."""

    def __init__(self, run: Run, sealer: Sealer) -> None:
        self._run = run
        self._sealer = sealer

    def end(self) -> None:
        """Refuse all use from now on."""
        self._run = _ENDED

    def _sealed(self, kind: str, noun: Sealed) -> str:
        spec = noun.history if isinstance(noun, SystemApps) else noun.spec
        plain = msgspec.json.encode(spec)
        return self._sealer.seal(plain, kind, noun.namespace, noun.name)


def described(noun: Node | Sealed, text: str) -> Parameters:
    """The columns that every noun with a document has; *text* is the document."""
    return {
        "namespace": noun.namespace,
        "name": noun.name,
        "document": text,
        "created": micros(noun.created),
        "updated": micros(noun.updated),
    }


def numbered(options: PageOptions) -> dict[str, int]:
    """Which rows are on the page that *options* asks for."""
    return {"limit": options.size, "skipped": (options.number - 1) * options.size}


def page_bounds(options: ListOptions) -> Parameters:
    """Where a page begins, and one more than it holds: that shows whether there is another."""
    limit = options.limit + 1 if options.limit else ALL
    if options.after is None:
        return {"after": -ALL, "after_name": "", "limit": limit}
    moment, name = options.after
    return {"after": micros(moment), "after_name": name, "limit": limit}


def page_of(found: Sequence[T], total: int, limit: int, place_of: Callable[[T], Place]) -> Page[T]:
    """The page of what was *found* with `page_bounds`."""
    if not limit or len(found) <= limit:
        return Page(found, total)
    return Page(found[:limit], total, place_of(found[limit - 1]))


def first(make: Callable[[Row], T], rows: Sequence[Row]) -> T | None:
    """*make* applied to the first row; None if there is none."""
    return make(rows[0]) if rows else None


class _Ended:
    """The `Run` of a transaction that has ended."""

    def __call__(self, _statement: Statement, _parameters: Parameters, /) -> Sequence[Row]:
        raise RuntimeError("the transaction has ended; work must not keep it")

    def each(self, statement: Statement, _rows: Sequence[Parameters], /) -> None:
        self(statement, NOTHING)


_ENDED = _Ended()
