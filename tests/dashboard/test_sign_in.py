"""Signing in with an identity provider, or as a local user, in a real browser."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from pyotp import TOTP

from edgesync.client.access import new_access
from edgesync.client.login import login_by_browser
from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import SECONDS, Tab
from tests.identity_provider import SignInServer, sign_in_server
from tests.plain_http import NO_TLS

pytestmark = NEEDS_CHROMIUM
expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignInServer]:
    with sign_in_server(tmp_path_factory.mktemp("sign-in")) as world:
        yield world


def test_a_user_signs_in_with_the_company_account(world: SignInServer, browser: Browser) -> None:
    with contextlib.closing(browser.new_context()) as context:
        tab = Tab(context.new_page(), world.server.api)
        page = tab.page
        for user, is_admitted in (("eve", False), ("bob", True)):
            tab.open_sign_in()
            page.get_by_role("link", name="Sign in with Our company").click()
            page.get_by_role("button", name=user).click()
            if not is_admitted:
                expect(page.get_by_role("alert")).to_contain_text("The sign-in was refused")
                assert "signIn" not in page.url
        tab.await_page(page.get_by_role("heading", name="Overview"))
        expect(page.get_by_text("company:bob@example.com")).to_be_visible()
        expect(page.get_by_role("link", name="Tokens")).to_have_count(0)


def sign_in_again(page: Page, password: str) -> None:
    page.get_by_label("Name", exact=True).fill("ann")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("local:ann")).to_be_visible()


def test_a_local_user_signs_in_with_name_password_and_code(
    world: SignInServer, browser: Browser
) -> None:
    with world.server.client() as admin:
        ann = {"name": "ann", "password": "a long password of ann", "grants": {"*": "operator"}}
        assert admin.post("/v1/users", json=ann).status_code == 200
        secret = admin.post("/v1/users/ann/totp").json()["secret"]
        with contextlib.closing(browser.new_context()) as context:
            tab = Tab(context.new_page(), world.server.api, expected=["401", "GET /login"])
            page = tab.page
            tab.open("/", page.get_by_label("Name", exact=True))
            page.get_by_role("button", name="Use a token instead").click()
            expect(page.get_by_label("Token", exact=True)).to_be_focused()
            page.get_by_role("button", name="Use name and password").click()
            for code, is_admitted in (("000000x", False), ("", True)):
                page.get_by_label("Name", exact=True).fill("ann")
                page.get_by_label("Password", exact=True).fill("a long password of ann")
                page.get_by_label("Code of your app").fill(code or TOTP(secret).now())
                page.get_by_role("button", name="Sign in", exact=True).click()
                if not is_admitted:
                    expect(page.get_by_role("alert")).to_contain_text("wrong name, password")
            expect(page.get_by_role("heading", name="Overview")).to_be_visible()
            expect(page.get_by_text("local:ann")).to_be_visible()
            admin.delete("/v1/users/ann/totp")  # a code works once
            sign_in_again(page, "a long password of ann")
            page.get_by_role("button", name="Password", exact=True).click()
            for again in ("a typing error", "another password"):
                page.get_by_label("Present password").fill("a long password of ann")
                page.get_by_label("New password", exact=True).fill("another password")
                page.get_by_label("New password again").fill(again)
                page.get_by_role("button", name="Change").click()
                if again != "another password":
                    expect(page.get_by_role("alert")).to_contain_text("not the same both times")
            expect(page.get_by_text("Your other sessions have ended")).to_be_visible()
            page.get_by_role("button", name="Done").click()
            page.reload()
            expect(page.get_by_text("local:ann")).to_be_visible()
            admin.put("/v1/users/ann", json={"disabled": True})
            expect(page.get_by_label("Name", exact=True)).to_be_visible()
            tab.check()
        admin.delete("/v1/users/ann")


def test_a_user_confirms_the_login_of_a_command_line(world: SignInServer, browser: Browser) -> None:
    begun = httpx.post(
        f"{world.server.api}/login/device",
        data={"client_id": "edgesync"},
        trust_env=False,
        verify=NO_TLS,
    ).json()
    with contextlib.closing(browser.new_context()) as context:
        tab = Tab(context.new_page(), world.server.api)
        page = tab.page
        # Typed in, with a sign-in at the provider in between.
        tab.open("/device", page.get_by_label("Token", exact=True))
        page.get_by_role("link", name="Sign in with Our company").click()
        page.get_by_role("button", name="bob").click()
        tab.await_page(page.get_by_label("Code that the command line shows"))
        page.get_by_label("Code that the command line shows").fill("BBBB-BBBB")
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("alert")).to_contain_text("Not found")
        # A link brings one half: the other one is typed from what the command line shows.
        code = page.get_by_label("Code that the command line shows")
        tab.open(f"/device?user_code={begun['user_code']}", code)
        expect(code).to_have_value(begun["user_code"][:5])
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("alert")).to_contain_text("Not found")
        code.fill(begun["user_code"])
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_text(begun["user_code"])).to_be_visible()
        expect(page.get_by_text("127.0.0.1")).to_be_visible()
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_text("The command line is logged in")).to_be_visible()
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": begun["device_code"],
    }
    got = httpx.post(
        f"{world.server.api}/login/token", data=form, trust_env=False, verify=NO_TLS
    ).json()
    bearer = {"Authorization": f"Bearer {got['access_token']}"}
    who = httpx.get(
        f"{world.server.api}/v1/whoami", headers=bearer, trust_env=False, verify=NO_TLS
    ).json()
    assert who["name"] == "company:bob@example.com"


def test_the_browser_of_the_machine_is_led_back_to_the_command_line(
    world: SignInServer, browser: Browser
) -> None:
    places: Queue[str] = Queue()
    access = new_access(world.server.api, "", None, "")
    with contextlib.closing(browser.new_context()) as context, ThreadPoolExecutor(1) as pool:
        login = pool.submit(login_by_browser, access, places.put, seconds=2 * SECONDS)
        tab = Tab(context.new_page(), world.server.api)
        page = tab.page
        place = places.get(timeout=SECONDS).removeprefix(world.server.api)
        tab.open(place, page.get_by_label("Token", exact=True))
        page.get_by_role("link", name="Sign in with Our company").click()
        page.get_by_role("button", name="bob").click()
        tab.await_page(page.get_by_text("A command line on this machine asks to log in."))
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_text("The command line goes on.")).to_be_visible()
        token = login.result(timeout=SECONDS)
    bearer = {"Authorization": f"Bearer {token}"}
    who = httpx.get(
        f"{world.server.api}/v1/whoami", headers=bearer, trust_env=False, verify=NO_TLS
    ).json()
    assert who["name"] == "company:bob@example.com"
