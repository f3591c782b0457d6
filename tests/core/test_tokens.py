from datetime import UTC, datetime, timedelta

import pytest

from cloud.core.tokens import EVERYWHERE, ApiToken, Caller, Role
from cloud.errors import Forbidden, Invalid

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def token(*, expires: datetime | None = None, last_used: datetime | None = None) -> ApiToken:
    return ApiToken("default", "ci", "digest", Role.VIEWER, NOW, expires, last_used)


def test_each_role_may_what_the_one_before_it_may() -> None:
    allowed = [[role.includes(needed) for needed in Role] for role in Role]
    assert allowed == [[True, False, False], [True, True, False], [True, True, True]]
    Caller(Role.OPERATOR, EVERYWHERE).check_role(Role.VIEWER)
    with pytest.raises(Forbidden):
        Caller(Role.OPERATOR, EVERYWHERE).check_role(Role.ADMIN)


def test_a_token_opens_nothing_from_its_end_on() -> None:
    assert token().is_valid(NOW + timedelta(days=10_000))
    assert token(expires=NOW).is_valid(NOW - timedelta(microseconds=1))
    assert not token(expires=NOW).is_valid(NOW)


def test_a_use_is_recorded_once_a_minute() -> None:
    assert token().is_use_due(NOW)
    assert not token(last_used=NOW).is_use_due(NOW + timedelta(seconds=59))
    assert token(last_used=NOW).is_use_due(NOW + timedelta(seconds=60))


def test_who_acts_in_one_namespace_acts_in_no_other() -> None:
    caller = Caller(Role.ADMIN, "a")
    assert caller.namespace_of_call("header", None, "default") == "a"
    assert caller.namespace_of_call("header", "a", "default") == "a"
    for asked in ("b", "default", EVERYWHERE, "", "A"):
        with pytest.raises(Forbidden):
            caller.namespace_of_call("header", asked, "default")
        with pytest.raises(Forbidden):
            caller.check_namespace(asked)


def test_a_token_for_all_namespaces_needs_one_named() -> None:
    caller = Caller(Role.ADMIN, EVERYWHERE)
    assert caller.namespace_of_call("header", None, "default") == "default"
    assert caller.namespace_of_call("header", "a", "default") == "a"
    for asked in (EVERYWHERE, "", "a.b"):
        with pytest.raises(Invalid) as caught:
            caller.namespace_of_call("header", asked, "default")
        assert caught.value.field == "header"
