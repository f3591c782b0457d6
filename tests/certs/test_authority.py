"""When an authority issues, and for how long."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.authority import Authority
from certs.errors import AuthorityNotValid
from certs.keys import new_private_key

BORN = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORITY, _ = Authority.create("t", now=BORN, serials=(1, 2))
KEY = new_private_key().public_key()
BEGINS = AUTHORITY.intermediate.not_valid_before_utc
ENDS = AUTHORITY.intermediate.not_valid_after_utc


@given(now=st.datetimes(datetime(2020, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_whatever_is_issued_ends_with_its_issuer_at_the_latest(now: datetime) -> None:
    if not BEGINS <= now < ENDS:
        with pytest.raises(AuthorityNotValid):
            AUTHORITY.issue_node(KEY, "default.n1", now=now, serial=3)
        with pytest.raises(AuthorityNotValid):
            AUTHORITY.issue_server(KEY, ["a"], [], now=now, serial=3)
        return
    for issued in (
        AUTHORITY.issue_node(KEY, "default.n1", now=now, serial=3),
        AUTHORITY.issue_server(KEY, ["a"], [], now=now, serial=3),
    ):
        assert now - timedelta(seconds=1) < issued.not_after <= ENDS


@pytest.mark.parametrize("second", [-1, 0])
def test_the_last_second_is_issued_in_and_no_later_one(second: int) -> None:
    now = ENDS + timedelta(seconds=second)
    if second < 0:
        assert AUTHORITY.issue_node(KEY, "default.n1", now=now, serial=3).not_after == ENDS
    else:
        with pytest.raises(AuthorityNotValid) as caught:
            AUTHORITY.issue_node(KEY, "default.n1", now=now, serial=3)
        assert caught.value.ends == ENDS


def test_the_key_is_not_shown_by_printing_the_authority() -> None:
    assert "PrivateKey" not in repr(AUTHORITY)
