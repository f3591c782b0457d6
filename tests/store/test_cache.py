"""What transactions have in common: never an old value, never a gap among changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.store.cache import CHANGES_AT_MOST, LabelChange, LabelChanges, RevisionCache

PLACE = ("node", "default")
CHANGE = LabelChange(None, {"a": "1"})


def change(number: int) -> LabelChange:
    return LabelChange(None, {"number": str(number)})


def test_a_value_is_made_once_for_each_revision_from_the_one_before() -> None:
    kept: RevisionCache[str] = RevisionCache()
    assert kept.value("k", 1, lambda before: f"{before} 1") == "None 1"
    assert kept.value("k", 1, lambda _: "another") == "None 1"
    assert kept.value("k", 3, lambda before: f"{before} 3") == "(1, 'None 1') 3"
    assert kept.value("k", 2, lambda before: str(before)) == str((3, "(1, 'None 1') 3"))
    assert kept.value("k", 3, lambda _: "another") == "(1, 'None 1') 3"
    assert kept.value("other", 3, lambda _: "another") == "another"


@given(
    noted=st.lists(st.integers(1, 12), max_size=12),
    start=st.integers(0, 13),
    end=st.integers(0, 13),
)
def test_changes_are_all_there_or_not_known(noted: list[int], start: int, end: int) -> None:
    """In whatever order revisions come, and whichever do not: other servers may make some."""
    changes = LabelChanges()
    for revision in noted:
        changes.record(PLACE, revision, [change(revision), change(-revision)])
    expected = [
        change(number) for revision in range(start + 1, end + 1) for number in (revision, -revision)
    ]
    found = changes.between(PLACE, start, end)
    assert found is None or (found == expected and set(noted) >= set(range(start + 1, end + 1)))
    in_order = noted == list(range(1, len(noted) + 1))
    if noted and in_order and start <= end <= len(noted):
        assert found == expected


@pytest.mark.parametrize("count", [1, CHANGES_AT_MOST, CHANGES_AT_MOST + 1])
def test_no_more_changes_are_kept_than_are_worth_it(count: int) -> None:
    changes = LabelChanges()
    changes.record(PLACE, 1, [CHANGE])
    changes.record(PLACE, 2, [CHANGE] * count)
    changes.record(("node", "other"), 9, [CHANGE])
    found = changes.between(PLACE, 1, 2)
    if count > CHANGES_AT_MOST:
        assert found is None
        changes.record(PLACE, 3, [CHANGE])
        assert changes.between(PLACE, 2, 3) == [CHANGE]
    else:
        assert found == [CHANGE] * count
        assert (changes.between(PLACE, 0, 2) is None) is (count == CHANGES_AT_MOST)
