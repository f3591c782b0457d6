"""Local users: made by administrators, signed in by password and code, and attacks on that."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from cloud.core.audit import ADMINISTRATOR, UNKNOWN, Actor, ActorKind
from cloud.core.failed_attempts import AT_ALL_BATCHES
from cloud.core.local_users import STEP_SECONDS
from cloud.errors import TooManyRequests
from cloud.rest.sessions import COOKIE
from cloud.rest.sign_in.local import CODE_RATE, RATE, Credentials
from cloud.rest.sign_in.passwords import WAITING_LIMIT, WAITING_OF_ONE, Passwords
from tests.rest.conftest import ApiCaller, World, caller
from tests.rest.test_tokens import FORBIDDEN, INVALID, bearer, database_text, made

PASSWORD = "a long password of ann"
ANN = {"name": "ann", "password": PASSWORD, "grants": {"*": "viewer", "north": "admin"}}


def own_page(world: World) -> dict[str, str]:
    return {"X-Edgesync-CSRF": "1", "Origin": world.url}


async def sign_in(
    world: World, browser: httpx.AsyncClient, password: str = PASSWORD, **more: str
) -> httpx.Response:
    body = {"name": "ann", "password": password, **more}
    return await browser.post("/login/local", json=body, headers=own_page(world))


async def causes(world: World) -> list[str]:
    log = await world.client.call("GET", "/v1/audit?namespace=*&action=session.create")
    return [entry["also"]["cause"] for entry in log["items"] if entry["outcome"] != "done"]


async def test_a_user_signs_in_with_the_roles_of_the_user(world: World) -> None:
    made_user = await world.client.call("POST", "/v1/users", ANN)
    assert made_user["grants"] == ANN["grants"]
    assert "password" not in str(made_user)
    async with caller(world.url) as browser:
        assert (await browser.get("/login")).json() == {"providers": [], "local": True}
        assert (await sign_in(world, browser)).json() == {"success": True}
        who = (await browser.get("/v1/whoami")).json()
        assert (who["kind"], who["name"]) == ("user", "local:ann")
        assert who["grants"] == ANN["grants"]
        refused = await browser.post("/v1/nodes", json={"name": "n"}, headers=own_page(world))
        assert refused.status_code == 403
        (session,) = (await browser.get("/v1/sessions")).json()["items"]
        assert (session["provider"], session["current"]) == ("local", True)
    log = await world.client.call("GET", "/v1/audit?namespace=*")
    assert [entry["action"] for entry in log["items"]][-2:] == ["session.create", "user.create"]
    assert PASSWORD not in str(log)


async def test_whatever_is_wrong_the_answer_is_the_same(world: World) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    await world.client.call("POST", "/v1/users", {**ANN, "name": "off"})
    await world.client.call("PUT", "/v1/users/off", {"disabled": True})
    await world.client.call("POST", "/v1/users", {**ANN, "name": "two"})
    await world.client.call("POST", "/v1/users/two/totp")
    answers = set()
    async with caller(world.url, {"x-bce-request-id": "one"}) as browser:
        for shown in (
            {"name": "ann", "password": "another password"},
            {"name": "no-user", "password": PASSWORD},
            {"name": "No\0 Name!", "password": PASSWORD},
            {"name": "off", "password": PASSWORD},
            {"name": "two", "password": PASSWORD},
            {"name": "two", "password": PASSWORD, "code": "000000"},
            {"name": "two", "password": "another password", "code": "000000"},
        ):
            answer = await browser.post("/login/local", json=shown, headers=own_page(world))
            answers.add((answer.status_code, answer.text))
            assert "set-cookie" not in answer.headers
    assert len(answers) == 1
    assert {status for status, _ in answers} == {401}


async def test_the_log_has_what_was_wrong(world: World) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    async with caller(world.url) as browser:
        await sign_in(world, browser, "wrong password")
        await sign_in(world, browser, name="no-user")
    assert await causes(world) == ["there is no user of this name", "the password is wrong"]


async def test_a_check_costs_the_same_without_a_user() -> None:
    """By the cost of the hash, not in time."""
    passwords = Passwords(memory_kib=64)
    hashed = await passwords.hashed(PASSWORD, UNKNOWN)
    assert hashed.startswith("$argon2id$")
    assert await passwords.is_right(hashed, PASSWORD, UNKNOWN)
    assert not await passwords.is_right(hashed, "another", UNKNOWN)
    assert not await passwords.is_right(None, PASSWORD, UNKNOWN)
    # What stands for no password has the same parameters.
    assert passwords._of_no_password.split("$")[:4] == hashed.split("$")[:4]


async def test_one_address_cannot_take_all_places_of_checks() -> None:
    passwords = Passwords(memory_kib=64)
    one, other = (Actor(ActorKind.UNKNOWN, name) for name in ("192.0.2.1", "192.0.2.2"))
    checks = [passwords.hashed(PASSWORD, one) for _ in range(WAITING_OF_ONE + 2)]
    outcomes = await asyncio.gather(
        *checks, passwords.hashed(PASSWORD, other), return_exceptions=True
    )
    refused = [isinstance(outcome, TooManyRequests) for outcome in outcomes]
    assert refused == [False] * WAITING_OF_ONE + [True] * 2 + [False]
    assert (await passwords.hashed(PASSWORD, one)).startswith("$argon2id$")


async def test_sign_ins_take_no_places_of_passwords_that_are_set() -> None:
    passwords = Passwords(memory_kib=64)
    callers = [Actor(ActorKind.UNKNOWN, f"192.0.2.{n % 5}") for n in range(WAITING_LIMIT)]
    checks = [passwords.is_right(None, PASSWORD, one) for one in callers]
    late = passwords.is_right(None, PASSWORD, Actor(ActorKind.UNKNOWN, "192.0.2.9"))
    *checked, refused, hashed = await asyncio.gather(
        *checks, late, passwords.hashed(PASSWORD, ADMINISTRATOR), return_exceptions=True
    )
    assert checked == [False] * WAITING_LIMIT
    assert isinstance(refused, TooManyRequests)
    assert str(hashed).startswith("$argon2id$")


async def test_a_code_is_accepted_once_within_its_time(world: World, tmp_path: Path) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    shown = await world.client.call("POST", "/v1/users/ann/totp")
    totp = pyotp.parse_uri(shown["uri"])
    assert isinstance(totp, pyotp.TOTP)
    assert totp.secret == shown["secret"]
    assert shown["secret"] not in database_text(tmp_path)
    async with caller(world.url) as browser, caller(world.url) as thief:
        old = totp.at(world.clock.now)
        assert (await sign_in(world, browser, code=old)).status_code == 200
        assert (await sign_in(world, thief, code=old)).status_code == 401
        # Nor is one of a step before the last that was used.
        world.clock.advance(2 * STEP_SECONDS)
        step = int(world.clock.now.timestamp()) // STEP_SECONDS
        before, present = totp.generate_otp(step - 1), totp.generate_otp(step)
        assert (await sign_in(world, browser, code=present)).status_code == 200
        assert (await sign_in(world, thief, code=before)).status_code == 401
        world.clock.advance(3 * STEP_SECONDS)
        assert (await sign_in(world, thief, code=present)).status_code == 401
    assert (await causes(world)).count("the code was used before") == 2
    await world.client.call("DELETE", "/v1/users/ann/totp")
    async with caller(world.url) as browser:
        assert (await sign_in(world, browser)).status_code == 200


async def test_who_has_the_password_cannot_try_all_codes(world: World) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    secret = (await world.client.call("POST", "/v1/users/ann/totp"))["secret"]
    async with caller(world.url) as thief:
        for number in range(CODE_RATE.burst):
            world.clock.advance(1 / RATE.per_second)  # the address may go on
            await sign_in(world, thief, code=f"x{number:05}")
        assert not await codes_refused(world)
        code = pyotp.TOTP(secret).at(world.clock.now)
        assert (await sign_in(world, thief, code=code)).status_code == 401
        assert await codes_refused(world)
    async with caller(world.url) as browser:
        world.clock.advance(2 / CODE_RATE.per_second)
        code = pyotp.TOTP(secret).at(world.clock.now)
        assert (await sign_in(world, browser, code=code)).status_code == 200


async def codes_refused(world: World) -> bool:
    shown = (await world.client.send("GET", "/metrics")).text
    return 'edgesync_limits_refusals_total{bound="second_factors"} 1' in shown


async def test_sign_ins_without_a_code_lock_no_user_out(world: World) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    secret = (await world.client.call("POST", "/v1/users/ann/totp"))["secret"]
    async with caller(world.url) as browser:
        for number in range(CODE_RATE.burst):
            world.clock.advance(1 / RATE.per_second)  # the address may go on
            await sign_in(world, browser, code=" " * number)
        code = pyotp.TOTP(secret).at(world.clock.now)
        assert (await sign_in(world, browser, code=code)).status_code == 200
    assert set(await causes(world)) == {"the code is missing"}


async def test_what_is_typed_as_a_name_and_is_none_stands_in_no_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    typed = "My Pass-Word!"
    with caplog.at_level("INFO", "cloud"):
        async with caller(world.url) as browser:
            assert (await sign_in(world, browser, name=typed)).status_code == 401
    log = await world.client.call("GET", "/v1/audit?namespace=*&action=session.create")
    assert [entry["outcome"] for entry in log["items"]] == ["RequestAccessDenied"]
    assert typed not in str(log) + caplog.text
    assert "session.create" in caplog.text
    shown = Credentials("ann", PASSWORD, "123456")
    assert "ann" in repr(shown)
    assert PASSWORD not in repr(shown)
    assert "123456" not in repr(shown)


async def test_passwords_cannot_be_guessed_without_end(world: World) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    async with caller(world.url) as thief:
        for number in range(RATE.burst):
            guess = f"guess {number // 2}"  # a repeated one counts too
            assert (await sign_in(world, thief, guess)).status_code == 401
        late = await sign_in(world, thief)
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) > 0
        # Other names from this address are limited too, a little later.
        statuses = [
            (await sign_in(world, thief, name=f"user-{number}")).status_code
            for number in range(RATE.burst * AT_ALL_BATCHES)
        ]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        world.clock.advance(2 / RATE.per_second)
        assert (await sign_in(world, thief)).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        ("PUT", "/v1/users/ann", {"disabled": True}),
        ("PUT", "/v1/users/ann", {"password": "another long password"}),
        ("PUT", "/v1/users/ann", {"grants": {"*": "viewer"}}),
        ("POST", "/v1/users/ann/totp", None),
        ("DELETE", "/v1/users/ann", None),
    ],
)
async def test_a_change_of_the_user_ends_the_sessions(world: World, change: Any) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    await world.client.call("POST", "/v1/users", {**ANN, "name": "bob"})
    async with caller(world.url) as ann, caller(world.url) as bob:
        await sign_in(world, ann)
        await sign_in(world, bob, name="bob")
        await world.client.call(*change)
        assert (await ann.get("/v1/whoami")).status_code == 401
        assert (await bob.get("/v1/whoami")).status_code == 200


async def test_a_user_of_the_same_name_is_another_one(world: World) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    async with caller(world.url) as old, caller(world.url) as new:
        await sign_in(world, old)
        await world.client.call("DELETE", "/v1/users/ann")
        await world.client.call("POST", "/v1/users", {**ANN, "grants": {"*": "admin"}})
        await sign_in(world, new)
        assert (await old.get("/v1/whoami")).status_code == 401


async def test_a_session_that_was_planted_is_not_used(world: World) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    async with caller(world.url) as attacker, caller(world.url) as victim:
        await sign_in(world, attacker)
        planted = attacker.cookies[COOKIE]
        victim.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
        cookie = (await sign_in(world, victim)).headers["set-cookie"]
        assert planted not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://attacker.example", "X-Edgesync-CSRF": "1"},
        {"Sec-Fetch-Site": "cross-site", "X-Edgesync-CSRF": "1"},
    ],
)
async def test_another_site_cannot_sign_a_browser_in(world: World, headers: dict[str, str]) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    async with caller(world.url, headers) as browser:
        answer = await browser.post("/login/local", json={"name": "ann", "password": PASSWORD})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**ANN, "password": "short"}, "password"),
        ({**ANN, "password": "x" * 257}, "password"),
        ({**ANN, "name": "administrator", "password": "administrator1"}, "password"),
        ({**ANN, "name": "no name"}, "name"),
        ({**ANN, "grants": {}}, "grants"),
        ({**ANN, "grants": {"NO": "admin"}}, "grants"),
        ({**ANN, "grants": {"*": "owner"}}, "grants"),
        ({**ANN, "grants": {"*": "viewer on "}}, "grants"),
        ({**ANN, "grants": {"*": "viewer on shop in ("}}, "grants"),
        ({**ANN, "grants": {"north": "viewer; " * 10 + "admin"}}, "grants"),
        ({**ANN, "more": 1}, "more"),
    ],
)
async def test_a_user_that_cannot_be_is_refused(world: World, body: Any, field: str) -> None:
    assert field in await world.client.refused("POST", "/v1/users", body, **INVALID)


async def test_administrators_of_one_namespace_make_no_users(world: World) -> None:
    async with bearer(world, await made(world, "admin", "north")) as client:
        for method, path in (
            ("GET", "/v1/users"),
            ("POST", "/v1/users"),
            ("PUT", "/v1/users/ann"),
            ("DELETE", "/v1/users/ann"),
            ("POST", "/v1/users/ann/totp"),
            ("DELETE", "/v1/users/ann/totp"),
        ):
            await client.refused(method, path, ANN, **FORBIDDEN)


async def test_a_user_gets_no_more_than_the_caller_has(world: World) -> None:
    await world.client.call("POST", "/v1/users", {**ANN, "grants": {"*": "admin"}})
    body = {"name": "narrow", "role": "admin", "namespace": "*"}
    scopes = ["create users", "update users", "delete users", "list nodes"]
    token = await world.client.call("POST", "/v1/tokens", {**body, "permissions": scopes})
    async with bearer(world, token["token"]) as narrow:
        await narrow.refused("POST", "/v1/users", {**ANN, "name": "eve"}, **FORBIDDEN)
        # Nor may it take over who has more: by another password, or without the second factor.
        own = {"password": "a password of eve"}
        await narrow.refused("PUT", "/v1/users/ann", own, **FORBIDDEN)
        await narrow.refused("PUT", "/v1/users/ann", {"disabled": True}, **FORBIDDEN)
        await narrow.refused("POST", "/v1/users/ann/totp", **FORBIDDEN)
        await narrow.refused("DELETE", "/v1/users/ann/totp", **FORBIDDEN)
        await narrow.refused("DELETE", "/v1/users/ann", **FORBIDDEN)
    grants = {"grants": {"*": "deployer"}}
    await world.client.refused("POST", "/v1/users", {**ANN, "name": "bob", **grants}, **INVALID)


async def test_users_are_listed_and_names_are_unique(client: ApiCaller) -> None:
    for name in ("ann", "bob"):
        await client.call("POST", "/v1/users", {**ANN, "name": name})
    await client.refused("POST", "/v1/users", ANN, **INVALID)
    listed = await client.call("GET", "/v1/users?limit=1")
    assert ([one["name"] for one in listed["items"]], listed["total"]) == (["ann"], 2)


async def change_password(world: World, browser: httpx.AsyncClient, **shown: str) -> httpx.Response:
    body = {"name": "ann", "password": PASSWORD, **shown}
    return await browser.post("/login/local/password", json=body, headers=own_page(world))


async def test_a_user_changes_the_own_password(world: World, tmp_path: Path) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    async with caller(world.url) as other, caller(world.url) as browser:
        await sign_in(world, other)
        await sign_in(world, browser)
        changed = await change_password(world, browser, newPassword="quite another one")
        assert changed.json() == {"success": True}
        assert (await browser.get("/v1/whoami")).json()["name"] == "local:ann"
        assert (await other.get("/v1/whoami")).status_code == 401
        assert (await sign_in(world, other)).status_code == 401
        assert (await sign_in(world, other, "quite another one")).status_code == 200
    log = await world.client.call("GET", "/v1/audit?namespace=*&action=user.update")
    (entry,) = log["items"]
    assert (entry["name"], entry["actor"]["name"]) == ("ann", "local:ann")
    assert "quite another one" not in str(log) + database_text(tmp_path)


async def test_who_does_not_know_the_password_cannot_change_it(world: World) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    secret = (await world.client.call("POST", "/v1/users/ann/totp"))["secret"]
    async with caller(world.url) as browser:
        code = pyotp.TOTP(secret).at(world.clock.now)
        assert (await sign_in(world, browser, code=code)).status_code == 200
        for shown in ({"password": "a wrong password"}, {"code": ""}, {"code": code}):
            refused = await change_password(world, browser, newPassword="of an attacker", **shown)
            assert refused.status_code == 401
        assert (await browser.get("/v1/whoami")).status_code == 200
    assert (await causes(world))[-1] == "the password is wrong"


@pytest.mark.parametrize("new", ["short", "x" * 257, "ann"])
async def test_a_new_password_that_is_too_weak_is_refused(world: World, new: str) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    async with caller(world.url) as browser:
        refused = await change_password(world, browser, newPassword=new)
        assert refused.status_code == 400
        assert "newPassword" in refused.json()["message"]
        assert (await sign_in(world, browser)).status_code == 200


async def test_guesses_at_a_change_count_as_those_at_a_sign_in(world: World) -> None:
    await world.client.call("POST", "/v1/users", ANN)
    async with caller(world.url) as browser:
        for _ in range(RATE.burst):
            shown = {"password": "a wrong password", "newPassword": "of an attacker"}
            assert (await change_password(world, browser, **shown)).status_code == 401
        assert (await sign_in(world, browser)).status_code == 429
