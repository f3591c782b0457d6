"""Logins of the command line over HTTP, and attacks on them."""

import contextlib
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from cloud.core.device_logins import (
    CODE_LENGTH,
    CODE_LETTERS,
    INTERVAL,
    LIFETIME,
    PENDING_LIMIT,
    PENDING_OF_ADDRESS,
    DeviceLogin,
    is_loopback_redirect,
    user_code_of,
)
from cloud.core.user_sessions import SECRET_PREFIX
from cloud.rest.sign_in.command_line import CODE_LIFETIME, USER_CODE_RATE
from cloud.store.transaction import Transaction
from tests.rest.conftest import TOKEN, World, caller
from tests.rest.test_users import ANN, own_page, sign_in

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
REDIRECT = "http://127.0.0.1:4711/callback"
ASKED = {
    "response_type": "code",
    "client_id": "edgesync",
    "redirect_uri": REDIRECT,
    "state": "a state",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@contextlib.asynccontextmanager
async def signed_in(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """The browser of the user ann, who is made."""
    await world.client.call("POST", "/v1/users", ANN)
    async with caller(world.url) as browser:
        assert (await sign_in(world, browser)).status_code == 200
        yield browser


async def begin(http: httpx.AsyncClient) -> Any:
    answer = await http.post("/login/device", data={"client_id": "edgesync"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def poll(http: httpx.AsyncClient, begun: Any) -> Any:
    form = {"grant_type": DEVICE, "device_code": begun["device_code"], "client_id": "edgesync"}
    answer = await http.post("/login/token", data=form)
    assert answer.status_code == (200 if "access_token" in answer.json() else 400)
    return answer.json()


async def decide(
    world: World, browser: httpx.AsyncClient, *, approve: bool = True, **about: str
) -> httpx.Response:
    body = {"approve": approve, **about}
    return await browser.post("/login/approval", json=body, headers=own_page(world))


async def test_a_device_logs_in_once_after_the_user_agreed(world: World) -> None:
    async with signed_in(world) as browser, caller(world.url) as device:
        begun = await begin(device)
        assert set(begun["user_code"]) <= {*CODE_LETTERS, "-"}
        assert begun["verification_uri"] == f"{world.url}/device"
        assert (begun["expires_in"], begun["interval"]) == (600, 2)
        assert await poll(device, begun) == {"error": "authorization_pending"}
        page = await browser.get(begun["verification_uri_complete"].removeprefix(world.url))
        assert page.headers["location"] == f"/#/login?code={begun['user_code']}"
        typed = begun["user_code"].lower().replace("-", " ")
        shown = (await browser.get(f"/login/approval?code={typed}")).json()
        assert (shown["code"], shown["address"]) == (begun["user_code"], "127.0.0.1")
        assert (await decide(world, browser, code=typed)).status_code == 200
        world.clock.advance(INTERVAL.total_seconds())
        got = await poll(device, begun)
        assert got["access_token"].startswith(SECRET_PREFIX)
        assert got["expires_in"] == 12 * 3600
        bearer = {"Authorization": f"Bearer {got['access_token']}"}
        who = (await device.get("/v1/whoami", headers=bearer)).json()
        assert (who["name"], who["grants"]) == ("local:ann", ANN["grants"])
        assert await poll(device, begun) == {"error": "invalid_grant"}
        kinds = {one["kind"] for one in (await browser.get("/v1/sessions")).json()["items"]}
        assert kinds == {"browser", "cli"}
    log = await world.client.call("GET", "/v1/audit?namespace=*&action=session.create")
    assert [entry["actor"]["name"] for entry in log["items"]] == ["local:ann"] * 2


async def test_who_asks_too_often_has_to_slow_down(world: World) -> None:
    async with caller(world.url) as device:
        begun = await begin(device)
        assert await poll(device, begun) == {"error": "authorization_pending"}
        assert await poll(device, begun) == {"error": "slow_down"}
        # Now the interval is five seconds longer.
        world.clock.advance(INTERVAL.total_seconds())
        assert await poll(device, begun) == {"error": "slow_down"}
        world.clock.advance(INTERVAL.total_seconds() + 10)
        assert await poll(device, begun) == {"error": "authorization_pending"}


async def test_a_code_expires_and_can_be_denied(world: World) -> None:
    async with signed_in(world) as browser, caller(world.url) as device:
        denied, late = await begin(device), await begin(device)
        assert (await decide(world, browser, approve=False, code=denied["user_code"])).is_success
        assert await poll(device, denied) == {"error": "access_denied"}
        world.clock.advance(LIFETIME.total_seconds())
        assert (await decide(world, browser, code=late["user_code"])).status_code == 404
        assert await poll(device, late) == {"error": "expired_token"}
        assert await poll(device, {"device_code": "made up"}) == {"error": "invalid_grant"}


async def test_a_login_of_a_user_who_was_disabled_opens_nothing(world: World) -> None:
    async with signed_in(world) as browser, caller(world.url) as device:
        waiting, live = await begin(device), await begin(device)
        await decide(world, browser, code=live["user_code"])
        bearer = {"Authorization": f"Bearer {(await poll(device, live))['access_token']}"}
        assert (await device.get("/v1/whoami", headers=bearer)).status_code == 200
        await decide(world, browser, code=waiting["user_code"])
        await world.client.call("PUT", "/v1/users/ann", {"disabled": True})
        assert (await device.get("/v1/whoami", headers=bearer)).status_code == 401
        assert await poll(device, waiting) == {"error": "access_denied"}


async def test_user_codes_cannot_be_guessed(world: World) -> None:
    async with signed_in(world) as browser, caller(world.url) as device:
        begun = await begin(device)
        for _ in range(USER_CODE_RATE.burst):
            assert (await decide(world, browser, code="BBBB-BBBB")).status_code == 404
        # The right one neither, so that a guess shows nothing.
        right = begun["user_code"]
        assert (await decide(world, browser, code=right)).status_code == 429
        assert (await browser.get(f"/login/approval?code={right}")).status_code == 429
        world.clock.advance(1 / USER_CODE_RATE.per_second)
        assert (await browser.get(f"/login/approval?code={right}")).status_code == 200


def test_user_codes_are_as_long_as_they_have_to_be() -> None:
    assert user_code_of(bytes(16)) == CODE_LETTERS[0] * CODE_LENGTH
    assert len({user_code_of(hashlib.md5(bytes([n])).digest()) for n in range(256)}) == 256  # noqa: S324
    assert len(CODE_LETTERS) ** CODE_LENGTH > 2**34


async def test_logins_that_wait_are_bounded(world: World) -> None:
    async with caller(world.url) as device:
        for _ in range(PENDING_OF_ADDRESS):
            await begin(device)
        refused = await device.post("/login/device", data={"client_id": "edgesync"})
        assert refused.status_code == 429
        world.clock.advance(LIFETIME.total_seconds())
        await begin(device)

    def fill(tx: Transaction) -> None:
        now = world.clock.now
        for number in range(PENDING_LIMIT - 1):
            name = f"{number:08}"
            times = (now, now + LIFETIME, now, INTERVAL)
            address = f"192.0.2.{number % 100}"
            tx.put_device_login(DeviceLogin(name, name, address, address, *times))

    await world.store.write(fill)
    # Who fills them all takes places of their own network alone.
    async with signed_in(world) as browser, caller(world.url) as device:
        begun = await begin(device)
        for _ in range(PENDING_OF_ADDRESS - 2):
            await begin(device)
        assert (await decide(world, browser, code=begun["user_code"])).status_code == 200
    kept = await world.store.read(lambda tx: tx.count_device_logins("192.0.2.98", world.clock.now))
    assert kept == (PENDING_LIMIT, PENDING_OF_ADDRESS)


async def test_who_has_only_a_token_or_such_a_session_approves_nothing(world: World) -> None:
    async with signed_in(world) as browser, caller(world.url) as device:
        begun, next_one = await begin(device), await begin(device)
        assert (await device.get("/login/approval?code=B")).status_code == 401
        await decide(world, browser, code=begun["user_code"])
        own = (await poll(device, begun))["access_token"]
        for token in (TOKEN, own):
            async with caller(world.url) as other:
                body = {"token": token}
                await other.post("/session", json=body, headers=own_page(world))
                refused = await decide(world, other, code=next_one["user_code"])
                assert refused.status_code == 403


async def decisions(world: World) -> list[tuple[str, str, str, str]]:
    """Action, actor, outcome and name of the entries about logins, oldest first."""
    log = (await world.client.call("GET", "/v1/audit?namespace=*"))["items"]
    return [
        (one["action"], one["actor"]["name"], one["outcome"], one["name"])
        for one in reversed(log)
        if one["action"].startswith("login.")
    ]


async def test_decisions_about_logins_and_wrong_codes_are_audited(world: World) -> None:
    async with signed_in(world) as browser, caller(world.url) as device:
        (own,) = (await browser.get("/v1/sessions")).json()["items"]
        denied, approved = await begin(device), await begin(device)
        await decide(world, browser, approve=False, code=denied["user_code"])
        await decide(world, browser, code=approved["user_code"])
        await authorize(world, browser)
        await browser.get("/login/approval?code=BBBB-BBBB")
        await decide(world, browser, request="made-up")
    async with caller(world.url) as other:
        await other.post("/session", json={"token": TOKEN}, headers=own_page(world))
        refused = await decide(world, other, code=denied["user_code"])
        assert refused.status_code == 403
    assert await decisions(world) == [
        ("login.deny", "local:ann", "done", own["id"]),
        ("login.approve", "local:ann", "done", own["id"]),
        ("login.approve", "local:ann", "done", own["id"]),
        ("login.approve", "local:ann", "ResourceNotFound", own["id"]),
        ("login.approve", "local:ann", "RequestAccessDenied", own["id"]),
        ("login.approve", "", "RequestForbidden", ""),
    ]
    log = await world.client.call("GET", "/v1/audit?namespace=*&action=login.approve")
    shown = [one["also"] for one in log["items"] if one["outcome"] == "done"]
    assert shown == [{"redirect": REDIRECT}, {"address": "127.0.0.1"}]
    assert {one["address"] for one in log["items"]} == {"127.0.0.1"}
    assert denied["user_code"] not in str(log)


async def test_another_site_approves_nothing(world: World) -> None:
    async with signed_in(world) as browser, caller(world.url) as device:
        begun = await begin(device)
        body = {"approve": True, "code": begun["user_code"]}
        assert (await browser.post("/login/approval", json=body)).status_code == 403
        forged = {"X-Edgesync-CSRF": "1", "Origin": "https://attacker.example"}
        refused = await browser.post("/login/approval", json=body, headers=forged)
        assert refused.status_code == 403
        assert await poll(device, begun) == {"error": "authorization_pending"}


async def authorize(world: World, browser: httpx.AsyncClient, **changed: str) -> str:
    """Confirm an authorization request; where the browser is led to."""
    page = await browser.get("/login/authorize", params={**ASKED, **changed})
    sealed = page.headers["location"].removeprefix("/#/login?request=")
    answer = await decide(world, browser, request=sealed)
    location: str = answer.json()["location"]
    return location


async def redeem(http: httpx.AsyncClient, code: str, /, **changed: str) -> Any:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "client_id": "edgesync",
        "code_verifier": VERIFIER,
    }
    return (await http.post("/login/token", data={**form, **changed})).json()


def code_in(location: str) -> str:
    parts = urlsplit(location)
    query = parse_qs(parts.query)
    assert location.startswith(f"{REDIRECT}?")
    assert query["state"] == ["a state"]
    return query["code"][0]


async def test_a_browser_on_the_machine_leads_back_with_a_code_that_works_once(
    world: World,
) -> None:
    async with signed_in(world) as browser, caller(world.url) as shell:
        code = code_in(await authorize(world, browser))
        for wrong in (
            {"code_verifier": "w" * 43},
            {"code_verifier": ""},
            {"redirect_uri": "http://127.0.0.1:4712/callback"},
            {"client_id": "another"},
            {"code": "made-up"},
        ):
            assert await redeem(shell, code, **wrong) == {"error": "invalid_grant"}, wrong
        got = await redeem(shell, code)
        assert got["token_type"] == "Bearer"
        assert await redeem(shell, code) == {"error": "invalid_grant"}
        late = code_in(await authorize(world, browser))
        world.clock.advance(CODE_LIFETIME.total_seconds())
        assert await redeem(shell, late) == {"error": "invalid_grant"}
        ended = code_in(await authorize(world, browser))
        await browser.delete("/session", headers=own_page(world))
        assert await redeem(shell, ended) == {"error": "invalid_grant"}


async def test_a_user_who_refuses_sends_the_browser_back_without_a_code(world: World) -> None:
    async with signed_in(world) as browser:
        page = await browser.get("/login/authorize", params=ASKED)
        sealed = page.headers["location"].removeprefix("/#/login?request=")
        answer = await decide(world, browser, approve=False, request=sealed)
        assert "error=access_denied" in answer.json()["location"]
        world.clock.advance(LIFETIME.total_seconds())
        assert (await decide(world, browser, request=sealed)).status_code == 401
        assert (await decide(world, browser, request="made-up")).status_code == 401
        assert (await decide(world, browser)).status_code == 400


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://attacker.example/callback"},
        {"redirect_uri": "http://127.0.0.1.attacker.example:1/"},
        {"redirect_uri": "http://127.0.0.1/callback"},
        {"redirect_uri": ""},
        {"code_challenge_method": "plain"},
        {"code_challenge": ""},
        {"response_type": "token"},
        {"client_id": "another"},
        {"state": ""},
    ],
)
async def test_a_request_that_is_wrong_leads_nowhere(world: World, changed: dict[str, str]) -> None:
    async with caller(world.url) as browser:
        answer = await browser.get("/login/authorize", params={**ASKED, **changed})
        assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    ("uri", "is_right"),
    [
        ("http://127.0.0.1:1/callback", True),
        ("http://[::1]:65535/", True),
        ("http://localhost:1/", False),
        ("http://user@127.0.0.1:1/", False),
        ("http://127.0.0.1:99999/", False),
        ("http://127.0.0.1:1/?next=https://attacker.example", False),
        ("https://127.0.0.1:1/", False),
        ("javascript:alert(1)", False),
    ],
)
def test_only_a_program_on_the_machine_gets_a_code(uri: str, *, is_right: bool) -> None:
    assert is_loopback_redirect(uri) is is_right
