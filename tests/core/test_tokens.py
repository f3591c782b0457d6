from datetime import UTC, datetime, timedelta

import pytest

from cloud.core.permissions import Permission
from cloud.core.tokens import EVERYWHERE, ApiToken, Caller, Role
from cloud.errors import Forbidden, Invalid

READ = Permission("read", "nodes", "n1")
RESTART = Permission("restart", "nodes", "n1")
CREATE_TOKENS = Permission("create", "tokens", "")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def token(*, expires: datetime | None = None, last_used: datetime | None = None) -> ApiToken:
    return ApiToken("default", "ci", "digest", Role.VIEWER, NOW, expires, last_used)


def test_each_role_may_what_the_one_before_it_may() -> None:
    allowed = [[role.includes(needed) for needed in Role] for role in Role]
    assert allowed == [[True, False, False], [True, True, False], [True, True, True]]
    operator = Caller({EVERYWHERE: Role.OPERATOR})
    operator.check(READ, "a")
    for namespace, place in (("a", "namespace a"), (EVERYWHERE, "all namespaces")):
        with pytest.raises(Forbidden, match=f"needs permission create tokens in {place}"):
            operator.check(CREATE_TOKENS, namespace)


def test_a_token_opens_nothing_from_its_end_on() -> None:
    assert token().is_valid(NOW + timedelta(days=10_000))
    assert token(expires=NOW).is_valid(NOW - timedelta(microseconds=1))
    assert not token(expires=NOW).is_valid(NOW)


def test_a_use_is_recorded_once_a_minute() -> None:
    assert token().is_use_due(NOW)
    assert not token(last_used=NOW).is_use_due(NOW + timedelta(seconds=59))
    assert token(last_used=NOW).is_use_due(NOW + timedelta(seconds=60))


def test_who_acts_in_one_namespace_acts_in_no_other() -> None:
    caller = Caller({"a": Role.ADMIN})
    assert caller.namespace_of_call("header", None, "default") == "a"
    assert caller.namespace_of_call("header", "a", "default") == "a"
    for asked in ("b", "default", EVERYWHERE, "", "A"):
        with pytest.raises(Forbidden):
            caller.namespace_of_call("header", asked, "default")
        with pytest.raises(Forbidden):
            caller.check(READ, asked)


def test_a_role_is_that_of_the_namespace() -> None:
    caller = Caller({"a": Role.ADMIN, "b": Role.VIEWER, EVERYWHERE: Role.OPERATOR})
    roles = {name: caller.role_in(name) for name in ("a", "b", "c", EVERYWHERE)}
    assert roles == dict.fromkeys(("b", "c", EVERYWHERE), Role.OPERATOR) | {"a": Role.ADMIN}
    caller.check(CREATE_TOKENS, "a")
    for namespace in ("b", "c", EVERYWHERE):
        with pytest.raises(Forbidden):
            caller.check(CREATE_TOKENS, namespace)
    apart = Caller({"b": Role.VIEWER, "a": Role.OPERATOR})
    assert apart.namespace_of_call("header", None, "default") == "a"
    assert apart.namespace_of_call("header", "b", "default") == "b"
    with pytest.raises(Forbidden, match="namespaces a, b alone"):
        apart.check(READ, "c")
    with pytest.raises(Forbidden):
        apart.check(RESTART, "b")


def test_a_token_for_all_namespaces_needs_one_named() -> None:
    caller = Caller({EVERYWHERE: Role.ADMIN})
    assert caller.namespace_of_call("header", None, "default") == "default"
    assert caller.namespace_of_call("header", "a", "default") == "a"
    for asked in (EVERYWHERE, "", "a.b"):
        with pytest.raises(Invalid) as caught:
            caller.namespace_of_call("header", asked, "default")
        assert caught.value.field == "header"
