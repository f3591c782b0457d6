"""The registry of kinds, and the paths of what is hidden."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.audit import Action, actions
from cloud.core.event import has_events, is_family, is_type
from cloud.core.kind import Column, ResourceKind
from cloud.core.kinds import APP, KINDS, RECORD, REGISTRY, SECRET, SYSTEM_APPS, Kinds
from cloud.core.mask import MASK, Hidden, hide, masked

CONTENT = {
    "password": "p",
    "empty": "",
    "data": {"a": "1", "b": ""},
    "items": [{"key": "x", "value": {"sk": "s", "ak": "a"}}, {"key": "y", "value": {"sk": ""}}],
}

json = st.recursive(
    st.none() | st.text(max_size=3) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
paths = st.lists(st.sampled_from(["a", "b?", "*", "c[]"]), min_size=1, max_size=3).map(".".join)


@pytest.mark.parametrize(
    ("path", "field", "shown"),
    [
        ("password", "password", MASK),
        ("empty", "empty", MASK),
        ("empty?", "empty", ""),
        ("data", "data", MASK),
        ("data.*", "data", {"a": MASK, "b": MASK}),
        ("data.a", "data", {"a": MASK, "b": ""}),
        ("items[].value", "items", [{"key": "x", "value": MASK}, {"key": "y", "value": MASK}]),
        (
            "items[].value.sk?",
            "items",
            [{"key": "x", "value": {"sk": MASK, "ak": "a"}}, {"key": "y", "value": {"sk": ""}}],
        ),
        ("password.*", "password", "p"),
        ("data[].x", "data", {"a": "1", "b": ""}),
        ("nothing.at.all", "data", {"a": "1", "b": ""}),
    ],
)
def test_a_path_hides_what_it_leads_to(path: str, field: str, shown: Any) -> None:
    assert masked(hide(CONTENT, [path])) == {**CONTENT, field: shown}


@given(st.dictionaries(st.sampled_from("abc"), json), st.lists(paths, max_size=3))
def test_to_hide_again_changes_nothing(content: dict[str, Any], hidden: list[str]) -> None:
    once = hide(content, hidden)
    assert hide(once, hidden) == once
    assert masked(masked(once)) == masked(once)


def test_hidden_values_are_compared_and_not_shown() -> None:
    assert Hidden("a") == Hidden("a")
    assert Hidden("a") != Hidden("b")
    assert Hidden("a") != "a"
    assert "secret" not in repr(Hidden("secret"))


def test_a_kind_is_registered_once_under_each_of_its_names() -> None:
    kinds = Kinds([APP])
    with pytest.raises(ValueError, match="there is a kind called app, apps"):
        kinds.register(ResourceKind("App", "apps", "/v1/others", "cloud.core.app:AppSpec"))
    with pytest.raises(ValueError, match="apps"):
        kinds.register(ResourceKind("Other", "apps", "/v1/others", "cloud.core.app:AppSpec"))
    kinds.register(REGISTRY)
    assert (list(kinds), len(kinds), kinds.index(REGISTRY)) == ([APP, REGISTRY], 2, 1)
    assert kinds.named("Registries") is REGISTRY
    assert kinds.logged_as("secret") is None


def test_actions_and_events_follow_from_the_kinds() -> None:
    assert {"app.undo", "secret.read", "registry.refresh", "sysapps.update"} <= actions()
    assert not {"sysapps.delete", "node.undo", "app.read"} & actions()
    assert set(Action) <= actions()
    assert has_events(SYSTEM_APPS.logged_as)
    assert not has_events("guard")
    assert is_type("config.deleted")
    assert is_type("node.lost")
    assert not is_type("config.lost")
    assert is_family("certificate")
    assert not is_family("token")


def test_what_is_hidden_is_named_for_the_command_line() -> None:
    assert (SECRET.hidden_fields, SECRET.hidden_values) == ((), ("data",))
    assert (REGISTRY.hidden_fields, REGISTRY.hidden_values) == (("password",), ())
    assert RECORD.parent_field == "batchName"


def test_a_column_leads_into_an_answer() -> None:
    column = Column("State", "state.name")
    assert column.value({"state": {"name": "online"}}) == "online"
    assert column.value({"state": None}) is None
    assert column.value({}) is None


def test_the_kinds_are_in_the_order_in_which_things_are_created() -> None:
    for kind in KINDS:
        for _, word in kind.references:
            named = KINDS.named(word)
            assert named is not None
            assert KINDS.index(named) < KINDS.index(kind)
