"""Lists: which resources of a namespace, and which page of them (contract, "List Node")."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec

from cloud.core.selectors import matches, parse_selector
from cloud.errors import Invalid


class Listed(Protocol):
    """What can be listed."""

    @property
    def namespace(self) -> str:
        """Namespace it is in."""
        ...

    @property
    def name(self) -> str:
        """Name, unique in the list."""
        ...

    @property
    def created(self) -> datetime:
        """When it was made; lists are in this order."""
        ...


L = TypeVar("L", bound=Listed)
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a caller asks of a list; *limit* 0 is no limit, *token* is from the page before."""

    selector: str = ""
    field_selector: str = ""
    limit: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list: *total* counts all pages, *token* leads to the next one ("": the last)."""

    items: Sequence[T]
    total: int
    token: str = ""

    def each(self, change: Callable[[T], U]) -> "Page[U]":
        """The same page with every item changed."""
        return Page([change(item) for item in self.items], self.total, self.token)


def page_of(
    resources: Iterable[L], options: ListOptions, labels_of: Callable[[L], Mapping[str, str]]
) -> Page[L]:
    """The page of *resources* that *options* asks for, oldest first, then by name.

    Stable while resources come and go: a page begins after the last one of the page before,
    wherever that is now. Invalid for a selector or token that cannot be read.
    """
    selector = parse_selector(options.selector)
    fields = _field_terms(options.field_selector)
    after = _read_token(options.token) if options.token else None
    chosen = [
        resource
        for resource in resources
        if all(term.holds_for(resource) for term in fields)
        and matches(selector, labels_of(resource))
    ]
    chosen.sort(key=_place)
    rest = chosen if after is None else [one for one in chosen if _place(one) > after]
    if 0 < options.limit < len(rest):
        shown = rest[: options.limit]
        return Page(shown, len(chosen), _token(_place(shown[-1])))
    return Page(rest, len(chosen))


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


def numbered_page_of(
    resources: Iterable[L], options: PageOptions, names_of: Callable[[L], Sequence[str]]
) -> NumberedPage[L]:
    """The page of *resources* that *options* asks for, newest first; past the end it is empty."""
    part = options.name.lower()
    chosen = [one for one in resources if any(part in name.lower() for name in names_of(one))]
    chosen.sort(key=_place, reverse=True)
    start = (options.number - 1) * options.size
    return NumberedPage(
        chosen[start : start + options.size], len(chosen), options.number, options.size
    )


_Place = tuple[datetime, str]

_FIELD_TERM = re.compile(
    r"metadata\.(?P<field>name|namespace)\s*(?P<operator>==|=|!=)\s*(?P<value>\S*)"
)


@dataclass(frozen=True, slots=True)
class _FieldTerm:
    field: str
    value: str
    negated: bool

    def holds_for(self, resource: Listed) -> bool:
        own = resource.name if self.field == "name" else resource.namespace
        return (own == self.value) is not self.negated


def _field_terms(text: str) -> list[_FieldTerm]:
    terms = []
    for part in text.split(",") if text.strip() else ():
        found = _FIELD_TERM.fullmatch(part.strip())
        if not found:
            raise Invalid(
                "fieldSelector",
                f"cannot read {part.strip()[:80]!r}: metadata.name and metadata.namespace can be"
                " compared with = and !=",
            )
        terms.append(_FieldTerm(found["field"], found["value"], found["operator"] == "!="))
    return terms


def _place(resource: Listed) -> _Place:
    return resource.created, resource.name


def _token(place: _Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def _read_token(text: str) -> _Place:
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        created, name = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Place)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise Invalid("continue", "is not a token of a page before") from error
    if created.tzinfo is None:
        raise Invalid("continue", "is not a token of a page before")
    return created, name
