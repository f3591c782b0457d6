import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.merge_patch import merged

# RFC 7396, appendix A: original, patch, result.
EXAMPLES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("original", "patch", "result"), EXAMPLES)
def test_the_examples_of_the_standard_hold(original: Any, patch: Any, result: Any) -> None:
    assert merged(original, patch) == result


def test_the_example_of_the_standard_gives_its_result() -> None:
    original = {
        "title": "Goodbye!",
        "author": {"givenName": "John", "familyName": "Doe"},
        "tags": ["example", "sample"],
        "content": "This will be unchanged",
    }
    patch = {
        "title": "Hello!",
        "phoneNumber": "+01-123-456-7890",
        "author": {"familyName": None},
        "tags": ["example"],
    }
    assert merged(original, patch) == {
        "title": "Hello!",
        "author": {"givenName": "John"},
        "tags": ["example"],
        "content": "This will be unchanged",
        "phoneNumber": "+01-123-456-7890",
    }


names = st.sampled_from("abc")
scalars = st.booleans() | st.integers(0, 3) | st.text("xy", max_size=2)


def documents(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf | st.lists(leaf, max_size=2),
        lambda inner: st.dictionaries(names, inner, max_size=3),
        max_leaves=8,
    )


plain = documents(scalars)
patches = documents(scalars | st.none())


def difference(before: Any, after: Any) -> Any:
    """A patch that makes *after* of *before*, where *after* has no null."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return after
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        patch[name] = difference(before.get(name), value)
    return patch


@given(plain, patches)
def test_the_same_patch_twice_is_the_same_as_once(document: Any, patch: Any) -> None:
    once = merged(document, patch)
    assert merged(once, patch) == once


@given(plain, patches)
def test_neither_document_nor_patch_is_changed(document: Any, patch: Any) -> None:
    before = copy.deepcopy((document, patch))
    merged(document, patch)
    assert (document, patch) == before


@given(plain, plain)
def test_there_is_a_patch_from_each_document_to_each_other(before: Any, after: Any) -> None:
    assert merged(before, difference(before, after)) == after


@given(st.dictionaries(names, plain), st.dictionaries(names, patches))
def test_what_a_patch_does_not_name_stays(document: Any, patch: Any) -> None:
    after = merged(document, patch)
    for name in document.keys() - patch.keys():
        assert after[name] == document[name]
    assert {name for name, value in patch.items() if value is None}.isdisjoint(after)


@given(plain)
def test_an_empty_patch_changes_no_object(document: Any) -> None:
    expected = document if isinstance(document, dict) else {}
    assert merged(document, {}) == expected
