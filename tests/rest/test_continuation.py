"""`continue`: for the list it was made for, for an hour, and not to be made by anybody else."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.errors import Expired, Invalid
from cloud.rest.continuation import LIFETIME, Continuations
from tests.rest.conftest import World

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
PLACE = (NOW - timedelta(days=1), "n1")
LIST = ("default", "/v1/nodes", "a=b", "")
TOKENS = Continuations(b"key")


def test_a_token_leads_to_its_place_until_it_expires() -> None:
    token = TOKENS.token(PLACE, LIST, NOW)
    last = NOW + LIFETIME - timedelta(microseconds=1)
    assert TOKENS.place(token, LIST, NOW) == TOKENS.place(token, LIST, last) == PLACE
    with pytest.raises(Expired) as caught:
        TOKENS.place(token, LIST, NOW + LIFETIME)
    assert caught.value.field == "continue"


@pytest.mark.parametrize("part", range(len(LIST)))
def test_a_token_is_good_for_one_list(part: int) -> None:
    other = tuple(one + "x" if index == part else one for index, one in enumerate(LIST))
    with pytest.raises(Invalid) as caught:
        TOKENS.place(TOKENS.token(PLACE, LIST, NOW), other, NOW)
    assert caught.value.field == "continue"


def test_a_token_of_another_key_is_refused() -> None:
    with pytest.raises(Invalid):
        TOKENS.place(Continuations(b"other").token(PLACE, LIST, NOW), LIST, NOW)


@given(st.integers(0, 200), st.sampled_from("Ax-_=%é "))
def test_a_changed_token_is_refused(at: int, character: str) -> None:
    token = TOKENS.token(PLACE, LIST, NOW)
    at %= len(token) - 1  # the last character has bits without a meaning
    changed = token[:at] + character + token[at + 1 :]
    if changed != token:
        with pytest.raises(Invalid) as caught:
            TOKENS.place(changed, LIST, NOW)
        assert caught.value.field == "continue"


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        TOKENS.place(text, LIST, NOW)


async def test_a_token_is_refused_by_another_list_and_after_an_hour(world: World) -> None:
    client = world.client
    for number in range(3):
        await client.call("POST", "/v1/nodes", {"name": f"n{number}"})
    page = await client.call("GET", "/v1/nodes?limit=1")
    token = page["listOptions"]["continue"]
    path = f"/v1/nodes?continue={token}"
    assert len((await client.call("GET", path))["items"]) == 2
    for other in (f"{path}&selector=a", f"/v1/apps?continue={token}", path[:-4]):
        message = await client.refused("GET", other, status=400, code="RequestParamInvalid")
        assert "continue" in message
    refused = client.within("other").refused
    await refused("GET", path, status=400, code="RequestParamInvalid")
    world.clock.advance(3600)
    message = await client.refused("GET", path, status=410, code="ResourceExpired")
    assert "continue" in message
