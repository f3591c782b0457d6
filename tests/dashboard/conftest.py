"""One server with a few nodes, and a browser, for all tests of the dashboard."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
)

from tests.dashboard.chromium import chromium
from tests.deadlines import UNIT
from tests.end_to_end.conftest import Server, make_batch, running_server, wait_for
from tests.preloaded import ForkedProcess

NODES = 4
SECONDS = 20 * UNIT
"""For anything to show."""


@dataclass
class DashboardFleet:
    """A running server and who reports to it."""

    server: Server
    api: httpx.Client

    def put(self, method: str, path: str, body: Any) -> Any:
        answer = self.api.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
"""A request that Chromium gave up because a network interface came or went, as container engines of
other tests have them."""


@dataclass
class Tab:
    """A page that is watched: what the browser complains of, and whom it asks."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    # Complaints with one of these in them are what the test is about.
    expected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(SECONDS * 1000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", self._failed)
        self.page.on("request", self._asked)

    def _failed(self, error: Error) -> None:
        self.complaints.append(f"error: {error}")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} {message.location['url']}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.complaints.append(f"asked {request.url}")

    def open(self, path: str, shown: Locator) -> None:
        """Load *path* and wait for what it shows; again if the browser gave up a request."""
        try:
            self.page.goto(f"{self.url}{path}")
            shown.wait_for()
        except Error as error:
            if not self.network_changed and NETWORK_CHANGED not in error.message:
                raise
            self.page.goto(f"{self.url}{path}")
            self.page.reload()
            shown.wait_for()

    def await_page(self, shown: Locator) -> None:
        """Wait for what a page shows that a redirect led to; again if the browser gave it up."""
        try:
            shown.wait_for()
        except Error:
            if not self.network_changed:
                raise
            self.page.reload()
            shown.wait_for()

    def open_sign_in(self) -> None:
        """Load the page that asks for a token."""
        self.open("/", self.page.get_by_label("Token", exact=True))

    def go(self, place: str) -> None:
        """Open a page of the dashboard and wait until it stands."""
        self.open(f"/#{place}", self.page.locator("main h1"))
        self.await_data()

    def await_data(self) -> None:
        """Wait until the page shows what it asked the server for."""
        self.page.locator(".skeleton").first.wait_for(state="detached")

    def leave(self) -> bool:
        """Watch no more, and leave what is shown: whether another test can go on from there."""
        self.page.remove_listener("console", self._heard)
        self.page.remove_listener("pageerror", self._failed)
        self.page.remove_listener("request", self._asked)
        if self.page.viewport_size != VIEWPORT or not self.page.evaluate(_LEAVE):
            return False
        self.page.get_by_text("There is no such page.").wait_for()
        return bool(self.page.evaluate(_FORGET))

    @property
    def network_changed(self) -> bool:
        """Whether the browser gave up a request, so that a page may have to be loaded again."""
        return any(NETWORK_CHANGED in text for text in self.complaints)

    def check(self) -> None:
        """Nothing was complained of that was not expected."""
        unexpected = [
            text
            for text in self.complaints
            if not any(part in text for part in (*self.expected, NETWORK_CHANGED))
        ]
        assert unexpected == []


VIEWPORT = {"width": 1280, "height": 720}
"""What Playwright gives a page."""
_LEAVE = """() => {
    const isFrame = location.pathname === "/" && document.querySelector(".frame") !== null;
    if (!isFrame || localStorage.length) return false;
    location.hash = "#/left";
    return true;
}"""
# Without a heading, so that the next test waits for the one of its own page.
_FORGET = """() => {
    document.querySelector("main h1").remove();
    return !document.querySelector("dialog");
}"""
_PASTE = """(field, text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    const options = {clipboardData, bubbles: true, cancelable: true};
    field.dispatchEvent(new ClipboardEvent("paste", options));
}"""


def yaml_field(page: Page) -> Locator:
    return page.get_by_role("textbox", name=re.compile("in YAML"))


def write_yaml(page: Page, text: str) -> None:
    """Paste *text* into the editor, in place of all that is there."""
    page.locator("form.editor").wait_for()
    as_yaml = page.get_by_role("button", name="YAML", exact=True)
    if as_yaml.count():
        as_yaml.click()
    field = yaml_field(page)
    field.focus()
    page.keyboard.press("Control+a")
    field.evaluate(_PASTE, text)


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()


@pytest.fixture(scope="package")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardFleet]:
    folder = tmp_path_factory.mktemp("dashboard")
    with running_server(folder / "data") as server, server.client() as api:
        batch = make_batch(api, labels={"role": "gateway"}, securityType="Token", quotaNum=50)
        command = ["sim", "--count", str(NODES)]
        command += ["--batch", batch["name"], "--token", batch["securityKey"], "--quiet"]
        command += ["--activation", server.activation, "--ca", server.ca]
        command += ["--mqtt", f"127.0.0.1:{server.mqtt_port}", "--state-dir", str(folder / "sim")]
        command += ["--interval", "1", "--apply-delay", "0"]
        process = ForkedProcess(command, folder / "sim.log")
        try:
            fleet = DashboardFleet(server, api)
            wait_for(lambda: online(api) == NODES, "the nodes to be online")
            yield fleet
        finally:
            process.terminate()
            process.wait(timeout=60)


def online(api: httpx.Client) -> int:
    count: int = api.get("/v1/overview").json()["nodes"]["online"]
    return count


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def session(fleet: DashboardFleet, browser: Browser) -> Any:
    """The cookie of who has signed in once."""
    return new_session(browser, fleet.server)


def new_session(browser: Browser, server: Server) -> Any:
    """The cookie of an administrator who signs in now."""
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        Tab(page, server.api).open_sign_in()
        sign_in(page, server.token)
        return context.storage_state()


@dataclass
class SignedIn:
    """A browser whose owner is signed in, with one page for the tests of a module.

    Loading the page takes half a second of CPU, ten times as much as going from one place of it to
    another. Where a test leaves more behind than a place, the next one has a browser of its own.
    """

    browser: Browser
    state: Any
    url: str
    page: Page | None = None

    @contextlib.contextmanager
    def tab(self) -> Iterator[Tab]:
        page = self.page or self.browser.new_context(storage_state=self.state).new_page()
        self.page = None
        tab = Tab(page, self.url)
        try:
            yield tab
            if tab.leave():
                self.page = page
        finally:
            if self.page is None:
                page.context.close()
        tab.check()


@contextlib.contextmanager
def signed_in_browser(browser: Browser, state: Any, url: str) -> Iterator[SignedIn]:
    signed_in = SignedIn(browser, state, url)
    try:
        yield signed_in
    finally:
        if signed_in.page:
            signed_in.page.context.close()


@pytest.fixture(scope="module")
def signed_in(fleet: DashboardFleet, browser: Browser, session: Any) -> Iterator[SignedIn]:
    with signed_in_browser(browser, session, fleet.server.api) as signed_in:
        yield signed_in


@pytest.fixture
def tab(signed_in: SignedIn) -> Iterator[Tab]:
    with signed_in.tab() as tab:
        yield tab


def axe_source() -> str:
    """The checker of accessibility, as it comes with its package."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
