"""What a list shows, implemented once more and naively: everything is looked at."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

from cloud.core.field_selectors import NAME, FieldTerm, parse_field_selector
from cloud.core.listing import ListOptions, Page, Place
from cloud.core.selectors import matches, parse_selector


class ListedResource(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def created(self) -> datetime: ...


L = TypeVar("L", bound=ListedResource)


def page_of(
    resources: Iterable[L], options: ListOptions, labels_of: Callable[[L], Mapping[str, str]]
) -> Page[L]:
    """The page of *resources* that *options* asks for, oldest first, then by name."""
    selector = parse_selector(options.selector)
    fields = parse_field_selector(options.field_selector)
    chosen = [
        one
        for one in resources
        if all(holds_for(term, one) for term in fields) and matches(selector, labels_of(one))
    ]
    chosen.sort(key=place_of)
    after = options.after
    rest = chosen if after is None else [one for one in chosen if place_of(one) > after]
    if 0 < options.limit < len(rest):
        shown = rest[: options.limit]
        return Page(shown, len(chosen), place_of(shown[-1]))
    return Page(rest, len(chosen))


def holds_for(term: FieldTerm, one: ListedResource) -> bool:
    own = one.name if term.field == NAME else one.namespace
    return any(fnmatchcase(own, value) for value in term.values) is not term.is_negated


def place_of(one: ListedResource) -> Place:
    return one.created, one.name
