import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.permissions import (
    ANY,
    Permission,
    built_in_permissions,
    has_built_in,
    known_permissions,
    least_role,
    parse_permission,
)
from cloud.core.roles import Role
from cloud.errors import Invalid

KNOWN = sorted(known_permissions(), key=str)
NAMES = st.text("ab-/", max_size=4)
PATTERNS = st.text("ab-/*", min_size=1, max_size=4)


@st.composite
def permissions(draw: st.DrawFn) -> Permission:
    known = draw(st.sampled_from(KNOWN))
    verb, kind = draw(st.sampled_from([known.verb, ANY])), draw(st.sampled_from([known.kind, ANY]))
    return Permission(verb, kind, draw(PATTERNS))


@st.composite
def needs(draw: st.DrawFn) -> Permission:
    known = draw(st.sampled_from(KNOWN))
    return Permission(known.verb, known.kind, draw(NAMES))


@given(permissions(), permissions(), needs())
def test_what_a_permission_includes_never_allows_more(
    wide: Permission, narrow: Permission, needed: Permission
) -> None:
    if wide.includes(narrow) and narrow.includes(needed):
        assert wide.includes(needed)


@given(permissions(), needs(), NAMES, NAMES)
def test_a_pattern_that_was_narrowed_allows_nothing_else(
    wide: Permission, needed: Permission, start: str, end: str
) -> None:
    narrow = Permission(wide.verb, wide.kind, wide.name.replace("*", f"{start}*{end}"))
    assert wide.includes(narrow)
    assert wide.includes(needed) or not narrow.includes(needed)


@given(permissions())
def test_a_permission_is_read_as_it_is_written(permission: Permission) -> None:
    assert parse_permission("permissions", str(permission)) == permission
    assert permission.includes(permission)


@given(st.sampled_from(KNOWN), NAMES)
def test_each_built_in_role_has_what_the_one_before_has(known: Permission, name: str) -> None:
    needed = Permission(known.verb, known.kind, name)
    having = [
        role for role in Role if any(own.includes(needed) for own in built_in_permissions(role))
    ]
    assert having == list(Role)[list(Role).index(least_role(needed)) :]
    assert having == [role for role in Role if has_built_in(role, needed)]
    assert least_role(needed) is known_permissions()[known]


@pytest.mark.parametrize(
    ("permission", "needed", "is_included"),
    [
        ("read apps/web", Permission("read", "apps", "web"), True),
        ("read apps/web", Permission("read", "apps", "web2"), False),
        ("read apps/web", Permission("list", "apps", ""), False),
        ("list apps/web*", Permission("list", "apps", ""), False),
        ("* apps/web-*", Permission("delete", "apps", "web-1"), True),
        ("read *", Permission("read", "nodes", "n1"), True),
        ("read *", Permission("list", "nodes", ""), False),
        ("* *", Permission("create", "tokens", ""), True),
        ("create records/shops", Permission("create", "records", "shops"), True),
        ("create records/shops", Permission("create", "records", "shops/one"), False),
    ],
)
def test_a_permission_is_for_its_verb_kind_and_names(
    permission: str, needed: Permission, *, is_included: bool
) -> None:
    assert parse_permission("permissions", permission).includes(needed) is is_included


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not VERB KIND"),
        ("read", "is not VERB KIND"),
        ("read apps/", "is not VERB KIND"),
        ("read apps/[a]", "is not VERB KIND"),
        ("read  apps", "is not VERB KIND"),
        ("read apps\n", "is not VERB KIND"),
        ("read apps/" + "a" * 300, "is not VERB KIND"),
        ("read app", "there is no kind app"),
        ("restart apps", "the verbs of apps are create, delete, describe"),
        ("explode *", "the verbs of"),
    ],
)
def test_a_permission_that_nothing_needs_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason) as caught:
        parse_permission("permissions[0]", text)
    assert caught.value.field == "permissions[0]"
