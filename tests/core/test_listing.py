"""Lists: selection and pages."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.listing import ListOptions, page_of
from cloud.errors import Invalid

START = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Thing:
    name: str
    created: datetime = START
    namespace: str = "default"
    labels: dict[str, str] = field(default_factory=dict)


def names(things: list[Thing], options: ListOptions) -> list[str]:
    return [thing.name for thing in page_of(things, options, lambda thing: thing.labels).items]


def test_fields_and_labels_select_and_the_total_counts_all_pages() -> None:
    things = [Thing(name, labels={"a": name}) for name in "wxyz"]
    options = ListOptions(selector="a in (w,x,y)", field_selector="metadata.name!=x", limit=1)
    page = page_of(things, options, lambda thing: thing.labels)
    assert (page.total, len(page.items)) == (2, 1)
    assert names(things, ListOptions(field_selector="metadata.name==x")) == ["x"]
    both = "metadata.name=x, metadata.namespace=other"
    assert names(things, ListOptions(field_selector=both)) == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (ListOptions(selector="a=(b"), "selector"),
        (ListOptions(field_selector="spec.x=1"), "fieldSelector"),
        (ListOptions(field_selector="metadata.name"), "fieldSelector"),
        (ListOptions(field_selector=","), "fieldSelector"),
        (ListOptions(field_selector="metadata.name=" + "a" * 4096), "fieldSelector"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(options: ListOptions, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        page_of([Thing("a")], options, lambda thing: thing.labels)
    assert caught.value.field == field


things = st.builds(
    Thing,
    name=st.text("ab1", min_size=1, max_size=3),
    created=st.integers(0, 3).map(lambda second: START + timedelta(seconds=second)),
)


@given(
    before=st.lists(things, unique_by=lambda thing: thing.name, max_size=8),
    limit=st.integers(1, 4),
    gone=st.sets(st.integers(0, 7)),
)
def test_pages_show_each_thing_that_stays_exactly_once(
    before: list[Thing], limit: int, gone: set[int]
) -> None:
    shown: list[str] = []
    options = ListOptions(limit=limit)
    present = before
    while True:
        page = page_of(present, options, lambda thing: thing.labels)
        shown += [thing.name for thing in page.items]
        if page.after is None:
            break
        options = ListOptions(limit=limit, after=page.after)
        present = [thing for index, thing in enumerate(before) if index not in gone]
    stayed = {thing.name for index, thing in enumerate(before) if index not in gone}
    assert len(shown) == len(set(shown))
    assert stayed <= set(shown)
