from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.grants import (
    Grant,
    check_grant_nodes,
    grants_text,
    joined_selector,
    merged_selectors,
    parse_grants,
)
from cloud.core.permissions import Permission
from cloud.core.roles import Role
from cloud.core.selectors import matches, parse_selector
from cloud.core.tokens import Caller
from cloud.errors import Forbidden, Invalid
from tests.core.strategies import ModelTerm, labels, model_terms, written

NEEDED = st.sampled_from(
    [Permission("read", "nodes", "n"), Permission("create", "tokens", ""), Permission("x", "y")]
)
GRANTS = st.builds(
    Grant,
    st.sampled_from(["viewer", "operator", "admin", "own"]),
    st.sampled_from(["", "shop=7", "shop in (7, 8),!closed"]),
)
ROLES = {("default", "own"): (Permission("read", "nodes"),)}


@given(st.lists(GRANTS, min_size=1, max_size=4), NEEDED)
def test_grants_are_read_as_they_were_written(grants: list[Grant], needed: Permission) -> None:
    text = grants_text(grants)
    assert grants_text(parse_grants(text)) == text
    # The lower built-in roles that are left out add nothing.
    whole = Caller({"default": "; ".join(map(str, grants))}, roles=ROLES)
    short = Caller({"default": text}, roles=ROLES)
    assert short.reach(needed, "default") == whole.reach(needed, "default")


@given(GRANTS, NEEDED, st.lists(NEEDED, max_size=2))
def test_a_narrower_grant_allows_nothing_more(
    grant: Grant, needed: Permission, scopes: list[Permission]
) -> None:
    wide = Caller({"default": grant.role}, roles=ROLES)
    limited = Caller({"default": str(grant)}, roles=ROLES)
    narrow = Caller({"default": str(grant)}, roles=ROLES, scopes=scopes)
    assert limited.may(needed, "default") <= wide.may(needed, "default")
    assert narrow.reach(needed, "default") <= limited.reach(needed, "default")
    assert not narrow.reach(needed, "other")


@given(st.lists(model_terms(), min_size=1, max_size=3), labels, st.data())
def test_a_selector_within_that_of_a_role_selects_what_both_do(
    terms: list[ModelTerm], own: Mapping[str, str], data: st.DataObject
) -> None:
    asked = data.draw(written(terms))
    joined = parse_selector(joined_selector("shop in (7, 8)", asked))
    assert matches(joined, own) == (
        own.get("shop") in {"7", "8"} and matches(parse_selector(asked), own)
    )


@given(st.text("(), =in7a\t", max_size=12))
def test_no_text_ends_the_selector_of_a_role(text: str) -> None:
    try:
        terms = parse_selector(joined_selector("shop=7", text))
    except Invalid:
        return
    assert terms[0] == parse_selector("shop=7")[0]


@pytest.mark.parametrize(
    ("selectors", "merged"),
    [
        (["shop=7"], "shop=7"),
        (["shop=7", ""], ""),
        (["shop=7", "shop=8"], "shop in (7, 8)"),
        (["shop in (7, 9)", "shop=8"], "shop in (7, 8, 9)"),
    ],
)
def test_selectors_of_one_label_are_merged(selectors: Sequence[str], merged: str) -> None:
    assert merged_selectors(selectors) == merged


@pytest.mark.parametrize(
    "selectors",
    [
        ["shop=7", "town=x"],
        ["shop=7", "shop!=8"],
        ["shop=7,a=b", "shop=8"],
        ["shop", "!shop"],
        ["shop=7", "shop="],
    ],
)
def test_other_selectors_are_not_merged(selectors: Sequence[str]) -> None:
    with pytest.raises(Forbidden, match="no one selector"):
        merged_selectors(selectors)


def test_a_role_for_some_nodes_is_none_for_all() -> None:
    caller = Caller({"default": "viewer; admin on shop=7"})
    assert caller.role_in("default") is Role.VIEWER
    read, restart = Permission("read", "nodes"), Permission("restart", "nodes")
    assert caller.nodes_for([read], "n", "default") == ""
    assert caller.nodes_for([restart], "n", "default") == "shop=7"
    with pytest.raises(Forbidden, match="has the role viewer, admin on shop=7"):
        caller.check(restart, "default")
    assert check_grant_nodes("nodes", "") == ""
