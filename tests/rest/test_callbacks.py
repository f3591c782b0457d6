"""Callbacks over HTTP: what is shown of them, and to whom."""

from dataclasses import replace
from typing import Any

import pytest

from cloud.core.mask import MASK
from cloud.core.sending import Delivery
from cloud.store.transaction import Transaction
from tests.rest.conftest import CALLBACK, ApiCaller, World

ONE = "/v1/callback/crm"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_the_secret_is_shown_by_the_answer_to_its_creation_only(world: World) -> None:
    response = await world.client.send("POST", "/v1/callback", CALLBACK)
    made = response.json()["secret"]
    assert made.startswith("whsec_")
    assert response.headers["cache-control"] == "no-store"
    own = {**CALLBACK, "name": "own", "secret": SECRET}
    assert (await world.client.call("POST", "/v1/callback", own))["secret"] == SECRET
    for method, path, body in (
        ("GET", ONE, None),
        ("PUT", ONE, {"description": "x"}),
        ("PATCH", ONE, {"description": "y"}),
        ("POST", f"{ONE}/retry", None),
        ("GET", "/v1/callback", None),
    ):
        answer = await world.client.send(method, path, body)
        assert answer.status_code == 200
        assert made not in answer.text
    assert (await world.client.call("GET", ONE))["secret"] == MASK


async def test_a_masked_secret_stands_for_the_stored_one_and_another_takes_its_place(
    world: World,
) -> None:
    async def kept() -> str:
        found = await world.store.read(lambda tx: tx.callback("default", "crm"))
        assert found is not None
        return found.spec.secret

    first = (await world.client.call("POST", "/v1/callback", CALLBACK))["secret"]
    for method, body in (
        ("PUT", {"secret": MASK, "description": "x"}),
        ("PUT", {"secret": ""}),
        ("PATCH", {"secret": None}),
    ):
        await world.client.call(method, ONE, body)
        assert await kept() == first
    await world.client.call("PUT", ONE, {"secret": SECRET})
    assert await kept() == SECRET
    message = await world.client.refused(
        "PUT", ONE, {"secret": "weak"}, status=400, code="RequestParamInvalid"
    )
    assert "(secret: " in message


async def test_a_list_does_not_show_where_callbacks_lead(client: ApiCaller) -> None:
    await client.call("POST", "/v1/callback", CALLBACK)
    (listed,) = (await client.call("GET", "/v1/callback"))["items"]
    assert listed["name"] == "crm"
    assert not {"url", "header", "params", "body", "secret"} & set(listed)


async def test_a_batch_names_a_callback_that_is_there_and_stays(client: ApiCaller) -> None:
    invalid: dict[str, Any] = {"status": 400, "code": "RequestParamInvalid"}
    batch = {"name": "b", "callbackName": "crm"}
    assert "(callbackName: " in await client.refused("POST", "/v1/register", batch, **invalid)
    await client.call("POST", "/v1/callback", CALLBACK)
    await client.call("POST", "/v1/register", batch)
    message = await client.refused("DELETE", ONE, status=400, code="RegisterDeleteCallback")
    assert "the batches b" in message
    await client.refused("PUT", "/v1/register/b", {"callbackName": "x"}, **invalid)
    await client.refused("PATCH", "/v1/register/b", {"callbackName": "x"}, **invalid)
    await client.call("PATCH", "/v1/register/b", {"callbackName": None})
    await client.call("DELETE", ONE)
    await client.refused("GET", ONE, status=404, code="ResourceNotFound")


async def test_the_callback_of_another_namespace_is_none(client: ApiCaller) -> None:
    await client.within("other").call("POST", "/v1/callback", CALLBACK)
    await client.refused(
        "POST", "/v1/register", {"callbackName": "crm"}, status=400, code="RequestParamInvalid"
    )


async def test_how_it_did_is_shown_and_what_was_given_up_tried_again(world: World) -> None:
    await world.client.call("POST", "/v1/callback", CALLBACK)
    now = world.clock.now
    waiting = Delivery("d1", "default", "crm", "{}", now, now)
    dead = replace(waiting, id="d2", due=None, attempts=84, error="answered 500")

    def happen(tx: Transaction) -> None:
        for delivery in (waiting, dead):
            tx.put_delivery(delivery)
        tx.record_success("default", "crm", now)
        tx.record_error("default", "crm", "answered 500", now)

    await world.store.write(happen)
    state = (await world.client.call("GET", ONE))["state"]
    letter = state.pop("deadLetters")
    assert state == {
        "pending": 1,
        "givenUp": 1,
        "lastSuccessTime": "2026-01-02T03:04:05Z",
        "lastError": "answered 500",
        "lastErrorTime": "2026-01-02T03:04:05Z",
    }
    assert letter == [
        {
            "id": "d2",
            "createTime": "2026-01-02T03:04:05Z",
            "attempts": 84,
            "error": "answered 500",
            "content": "{}",
        }
    ]
    (listed,) = (await world.client.call("GET", "/v1/callback"))["items"]
    assert listed["state"] == state
    world.clock.advance(60)
    state = (await world.client.call("POST", f"{ONE}/retry"))["state"]
    assert (state["pending"], state["givenUp"], state["deadLetters"]) == (2, 0, [])
    assert world.woken == ["callbacks"]
    due = await world.store.read(lambda tx: tx.newest_deliveries("default", "crm", 9))
    assert {one.id for one in due} == {"d1", "d2"}


@pytest.mark.parametrize("url", ["", "ftp://h", "https://u:p@h", "http://"])
async def test_a_url_that_cannot_be_called_is_refused(client: ApiCaller, url: str) -> None:
    message = await client.refused(
        "POST", "/v1/callback", {**CALLBACK, "url": url}, status=400, code="RequestParamInvalid"
    )
    assert "(url: " in message
