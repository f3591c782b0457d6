"""Signing in with a token, and what the cookie is good for."""

import hashlib
import ipaddress
import string
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.core.rate import Rate
from cloud.errors import Denied
from cloud.http.limits import Limiter
from cloud.rest.authenticator import CallLimits
from cloud.rest.sealed_values import SealedValues
from cloud.rest.sessions import COOKIE, LIFETIME
from tests.conftest import StoreFactory
from tests.rest.conftest import NODE, TOKEN, World, caller, open_world

NOTHING = {"signedIn": False, "reason": ""}


def own_page(world: World) -> dict[str, str]:
    return {"X-Edgesync-CSRF": "1", "Origin": world.url}


@pytest.fixture
async def browser(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with caller(world.url) as http:
        yield http


async def sign_in(world: World, http: httpx.AsyncClient, token: str = TOKEN) -> httpx.Response:
    return await http.post("/session", json={"token": token}, headers=own_page(world))


async def new_token(world: World, name: str = "someone", **fields: Any) -> str:
    body = {"name": name, "role": "viewer", "namespace": "one", **fields}
    answer = await world.client.call("POST", "/v1/tokens", body)
    return str(answer["token"])


async def test_the_cookie_stands_for_the_token_and_no_script_can_read_it(
    world: World, browser: httpx.AsyncClient
) -> None:
    assert (await browser.get("/session")).json() == NOTHING
    begun = await sign_in(world, browser)
    (cookie,) = SimpleCookie(begun.headers["set-cookie"]).values()
    assert (cookie.key, cookie["path"], cookie["samesite"]) == (COOKIE, "/", "Strict")
    assert (bool(cookie["httponly"]), bool(cookie["secure"])) == (True, False)
    assert int(cookie["max-age"]) == LIFETIME.total_seconds()
    assert TOKEN not in begun.headers["set-cookie"] + begun.text
    assert (await browser.get("/session")).json() == {
        "signedIn": True,
        "name": "",
        "role": "admin",
        "namespace": "*",
        "grants": {"*": "admin"},
        "defaultNamespace": "default",
        "endTime": "2026-01-02T15:04:05Z",
    }
    assert (await browser.get("/v1/nodes")).status_code == 200
    made = await browser.post("/v1/nodes", json=NODE, headers=own_page(world))
    assert made.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Edgesync-CSRF": "1"},
        {"Origin": "SELF"},
        {"X-Edgesync-CSRF": "1", "Origin": "http://elsewhere.example"},
        {"X-Edgesync-CSRF": "1", "Origin": "null"},
        {"X-Edgesync-CSRF": "1", "Origin": "SELF", "Sec-Fetch-Site": "same-site"},
        {"X-Edgesync-CSRF": "1", "Origin": "SELF", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_no_other_site_changes_anything_with_the_cookie(
    world: World, browser: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await sign_in(world, browser)
    sent = {name: world.url if text == "SELF" else text for name, text in headers.items()}
    for method, path in [("POST", "/v1/nodes"), ("POST", "/session"), ("DELETE", "/session")]:
        body = NODE if path == "/v1/nodes" else {"token": TOKEN}
        answer = await browser.request(method, path, json=body, headers=sent)
        assert (answer.status_code, answer.json()["code"]) == (403, "RequestForbidden")
    assert (await world.client.call("GET", "/v1/nodes"))["total"] == 0


async def test_no_other_site_reads_anything_with_the_cookie(
    world: World, browser: httpx.AsyncClient
) -> None:
    await sign_in(world, browser)
    for site, status in [("cross-site", 403), ("same-site", 403), ("same-origin", 200)]:
        answer = await browser.get("/v1/nodes", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == status


async def test_a_session_has_the_role_and_the_namespace_of_its_token(
    world: World, browser: httpx.AsyncClient
) -> None:
    await sign_in(world, browser, await new_token(world))
    session = (await browser.get("/session")).json()
    assert (session["role"], session["namespace"], session["name"]) == ("viewer", "one", "someone")
    refused = await browser.post("/v1/nodes", json=NODE, headers=own_page(world))
    assert refused.status_code == 403
    elsewhere = await browser.get("/v1/nodes", headers={"X-Edgesync-Namespace": "two"})
    assert elsewhere.status_code == 403


async def test_signing_out_forgets_the_cookie(world: World, browser: httpx.AsyncClient) -> None:
    await sign_in(world, browser)
    ended = await browser.delete("/session", headers=own_page(world))
    assert (ended.status_code, dict(browser.cookies)) == (200, {})
    assert (await browser.get("/v1/nodes")).status_code == 401


async def test_a_session_ends_with_its_token_and_with_its_time(
    world: World, browser: httpx.AsyncClient
) -> None:
    await sign_in(world, browser, await new_token(world))
    within = world.client.within("one")
    await within.call("DELETE", "/v1/tokens/someone?namespace=one")
    assert (await browser.get("/v1/nodes")).status_code == 401
    session = await browser.get("/session")
    assert session.json() == {"signedIn": False, "reason": "the token is not valid"}
    assert dict(browser.cookies) == {}
    await sign_in(world, browser)
    cookies = dict(browser.cookies)
    world.clock.advance(LIFETIME.total_seconds())
    late = await browser.get("/v1/nodes", headers={"Cookie": f"{COOKIE}={cookies[COOKIE]}"})
    assert late.status_code == 401
    assert "sign in again" in late.json()["message"]


async def test_a_cookie_that_was_made_up_or_changed_opens_nothing(
    world: World, browser: httpx.AsyncClient
) -> None:
    await sign_in(world, browser)
    good = dict(browser.cookies)[COOKIE]
    browser.cookies.clear()
    other = "A" if good[20] != "A" else "B"
    for value in (good[:20] + other + good[21:], good[:-4], "x", "%%%", f"{good}; {COOKIE}=x"):
        headers = {"Cookie": f"{COOKIE}={value}"}
        assert (await browser.get("/v1/nodes", headers=headers)).status_code == 401
        assert (await browser.get("/session", headers=headers)).json()["signedIn"] is False
    # The header counts where there are both.
    both = {"Cookie": f"{COOKIE}=x", "Authorization": f"Bearer {TOKEN}"}
    assert (await browser.get("/v1/nodes", headers=both)).status_code == 200


async def test_guesses_at_sign_in_are_counted_and_written_down(tmp_path: Path) -> None:
    limits = CallLimits(denials=Limiter(Rate(3, 0.01), lambda: 0.0))
    async with open_world(tmp_path, limits=limits) as world, caller(world.url) as browser:
        statuses = [(await sign_in(world, browser, f"guess {n}")).status_code for n in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        assert (await sign_in(world, browser)).status_code == 200
        log = await world.client.call("GET", "/v1/audit?namespace=*&action=api.authenticate")
        assert {entry["name"] for entry in log["items"]} == {"POST /session"}
        assert "guess" not in str(log)


async def test_over_tls_the_cookie_stays_there(tmp_path: Path) -> None:
    proxies = [ipaddress.ip_network("127.0.0.0/8")]
    for trusted, is_secure in ((proxies, True), ([], False)):
        folder = tmp_path / str(is_secure)
        folder.mkdir()
        async with (
            open_world(folder, trusted_proxies=trusted) as world,
            caller(world.url, {"X-Forwarded-Proto": "https"}) as browser,
        ):
            cookie = (await sign_in(world, browser)).headers["set-cookie"]
            assert ("; Secure" in cookie) is is_secure


async def test_every_answer_protects_who_sees_it_in_a_browser(
    world: World, browser: httpx.AsyncClient
) -> None:
    for path in ("/", "/docs", "/openapi.json", "/health", "/v1/nodes", "/nothing", "/session"):
        headers = (await browser.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_session_that_was_ended_is_refused_on_every_server(
    tmp_path: Path, open_again: StoreFactory
) -> None:
    async with open_world(tmp_path, open_store=open_again) as world, caller(world.url) as browser:
        await sign_in(world, browser)
        (cookie,) = browser.cookies.jar
        kept = {"Cookie": f"{COOKIE}={cookie.value}"}
        ended = await browser.delete("/session", headers=own_page(world))
        assert ended.json() == {"success": True}
        async with caller(world.url, kept) as thief:
            await assert_has_ended(thief)
        await sign_in(world, browser)
        assert (await browser.get("/v1/nodes")).status_code == 200
    # Another process with the same key and database.
    async with (
        open_world(tmp_path, open_store=open_again) as world,
        caller(world.url, kept) as thief,
    ):
        await assert_has_ended(thief)
        spelled = {"Cookie": f"{COOKIE}={cookie.value}="}
        assert (await thief.get("/v1/nodes", headers=spelled)).status_code == 401
        again = await thief.delete("/session", headers=own_page(world))
        assert again.json() == {"success": True}


@pytest.mark.parametrize("size", [20, 21, 22])
def test_what_is_sealed_has_one_spelling(size: int) -> None:
    """The digest of the text is what is ended or used."""
    values = SealedValues(bytes(32), b"", random=lambda count: b"\xfb\xef\xff" * (count // 3))
    sealed = values.seal(bytes(size))
    assert values.unseal(sealed) == bytes(size)
    letters = string.ascii_letters + string.digits + "-_+/="
    spellings = {sealed[:-1] + letter for letter in letters}
    spellings |= {sealed + "=" * count for count in (1, 2, 3, 4)}
    spellings |= {sealed.replace("-", "+"), sealed.replace("_", "/"), sealed + " "}
    assert {"-", "_"} < set(sealed)
    for spelling in spellings - {sealed}:
        with pytest.raises(Denied):
            values.unseal(spelling)


async def assert_has_ended(http: httpx.AsyncClient) -> None:
    refused = await http.get("/v1/nodes")
    assert (refused.status_code, refused.json()["code"]) == (401, "RequestAccessDenied")
    assert (await http.get("/session")).json() == {
        "signedIn": False,
        "reason": "the session has ended, sign in again",
    }


async def test_ending_sessions_leaves_nothing_once_they_would_have_ended_by_themselves(
    world: World, browser: httpx.AsyncClient
) -> None:
    digests = []
    for _ in range(2):
        await sign_in(world, browser)
        (cookie,) = browser.cookies.jar
        digests.append(hashlib.sha256(str(cookie.value).encode()).hexdigest())
        await browser.delete("/session", headers=own_page(world))
        world.clock.advance(LIFETIME.total_seconds())

    async def is_kept(digest: str) -> bool:
        return await world.store.read(lambda tx: tx.has_ended_session(digest))

    assert [await is_kept(digest) for digest in digests] == [False, True]


async def test_a_cookie_that_is_not_ours_is_dropped_without_a_record(
    world: World, browser: httpx.AsyncClient
) -> None:
    headers = {**own_page(world), "Cookie": f"{COOKIE}=made-up"}
    ended = await browser.delete("/session", headers=headers)
    assert (ended.status_code, "Max-Age=0" in ended.headers["set-cookie"]) == (200, True)
    digest = hashlib.sha256(b"made-up").hexdigest()
    assert not await world.store.read(lambda tx: tx.has_ended_session(digest))
