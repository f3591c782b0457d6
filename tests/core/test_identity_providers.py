"""Identity providers: who gets which role, and errors of their file."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.identity_providers import AccessRule, IdentityProvider, read_providers
from cloud.core.tokens import Role
from cloud.errors import Denied, Invalid
from cloud.http.yaml_text import decode_yaml
from tests.repo.tracked import ROOT

RULES = (
    AccessRule({"groups": "fleet"}, Role.VIEWER),
    AccessRule({"groups": "north"}, Role.OPERATOR, ("north", "harbour")),
    AccessRule({"groups": "north", "lead": True}, Role.ADMIN, ("north",)),
)
COMPANY: dict[str, Any] = {
    "name": "company",
    "issuer": "https://id.example.com",
    "clientId": "edgesync",
    "access": [{"claims": {"groups": "fleet"}, "role": "viewer"}],
}


def provider(*rules: AccessRule) -> IdentityProvider:
    return IdentityProvider(
        name="company", issuer="https://id.example.com", client_id="edgesync", access=rules
    )


def test_the_highest_role_of_each_namespace_is_granted() -> None:
    grants = provider(*RULES).grants
    assert grants({"groups": ["fleet"]}) == {"*": Role.VIEWER}
    assert grants({"groups": "north"}) == {"north": Role.OPERATOR, "harbour": Role.OPERATOR}
    everything = grants({"groups": ["north", "fleet"], "lead": True})
    assert everything == {"*": Role.VIEWER, "north": Role.ADMIN, "harbour": Role.OPERATOR}


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"groups": []},
        {"groups": "fleets"},
        {"groups": ["FLEET"]},
        {"groups": {"fleet": True}},
        {"groups": [["fleet"]]},
        {"group": "fleet"},
    ],
)
def test_who_no_rule_is_for_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(Denied, match="no access rule of company"):
        provider(*RULES).grants(claims)


def test_a_flag_is_no_text() -> None:
    only = provider(AccessRule({"verified": True}, Role.ADMIN))
    assert only.grants({"verified": True}) == {"*": Role.ADMIN}
    for value in ("true", "True", 1, [1], None):
        with pytest.raises(Denied):
            only.grants({"verified": value})


@given(st.dictionaries(st.sampled_from(["groups", "lead"]), st.text() | st.lists(st.text())))
def test_a_role_is_never_granted_without_its_claims(claims: dict[str, Any]) -> None:
    groups = claims.get("groups", "")
    has = {"fleet", "north"} & set([groups] if isinstance(groups, str) else groups)
    if not has:
        with pytest.raises(Denied):
            provider(*RULES).grants(claims)
    else:
        assert ("*" in provider(*RULES).grants(claims)) is ("fleet" in has)


def test_a_user_is_known_by_the_subject_and_named_by_the_claim() -> None:
    claims = {"sub": "1f3a", "email": "ann@example.com"}
    user = provider().user(claims)
    assert (user.provider, user.subject) == ("company", "1f3a")
    assert user.name == "company:ann@example.com"
    assert provider().user({"sub": "1f3a", "email": ["x"]}).name == "company:1f3a"
    assert len(provider().user({"sub": "1f3a", "email": "x" * 999}).name) == 200


def test_a_file_is_read() -> None:
    (found,) = read_providers({"providers": [COMPANY]})
    assert (found.client_id, found.access[0].role) == ("edgesync", Role.VIEWER)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"issuer": "http://id.example.com"}, "providers[0].issuer"),
        ({"issuer": "ftp://127.0.0.1"}, "providers[0].issuer"),
        ({"clientId": " "}, "providers[0].clientId"),
        ({"name": "No Name"}, "providers[0].name"),
        ({"scopes": ["email"]}, "providers[0].scopes"),
        ({"sessionHours": 0}, "providers[0].sessionHours"),
        ({"exchangeMinutes": 0}, "providers[0].exchangeMinutes"),
        ({"access": [{"claims": {}, "role": "admin"}]}, "providers[0].access[0].claims"),
        ({"access": [{"claims": {"a": "b"}, "role": "root"}]}, "providers[0].access[0].role"),
        (
            {"access": [{"claims": {"a": "b"}, "role": "admin", "namespaces": ["A"]}]},
            "providers[0].access[0].namespaces",
        ),
        ({"acess": []}, "providers[0].acess"),
    ],
)
def test_an_error_names_the_field(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_providers({"providers": [{**COMPANY, **changed}]})
    assert caught.value.field == field


def test_a_name_stands_once() -> None:
    with pytest.raises(Invalid, match="twice"):
        read_providers({"providers": [COMPANY, COMPANY]})


def test_the_example_of_the_documentation_is_read() -> None:
    text = (ROOT / "docs/operations/users.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    company, github = read_providers(decode_yaml(example.encode()))
    assert company.grants({"groups": ["shop-north"]}) == {"north": Role.OPERATOR}
    assert (github.sign_in, github.exchange) == (False, True)
