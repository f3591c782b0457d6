"""WCAG 2.2 AA by axe-core on every page, and the keyboard, in a real browser."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import SECONDS, DashboardFleet, Tab, axe_source, write_yaml
from tests.dashboard.pages import pages_of
from tests.end_to_end.conftest import claim_for, make_batch, make_csr

pytestmark = [*NEEDS_CHROMIUM, pytest.mark.timeout(300)]
expect.set_options(timeout=SECONDS * 1000)

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]
"""What is dark differs in its colours alone."""

APP = {
    "name": "seen",
    "selector": "role=gateway",
    "services": [{"name": "seen", "image": "nginx:1.29"}],
}


@pytest.fixture(scope="module")
def pages(fleet: DashboardFleet) -> Iterator[Mapping[str, str]]:
    """All pages, of resources that have something to show."""
    fleet.put("POST", "/v1/configs", {"name": "seen", "data": []})
    fleet.put("POST", "/v1/apps", APP)
    batch = make_batch(fleet.api, "seen", enableWhitelist=1)
    with fleet.server.devices() as devices:
        devices.post("/v1/active", json=claim_for(batch, "SN-1", make_csr()[1]))
    yield pages_of(fleet.api, app="seen", config="seen", batch="seen", node="sim-0001")
    for path in ("apps/seen", "configs/seen", "register/seen"):
        assert fleet.api.delete(f"/v1/{path}").status_code == 200


def violations(page: Page, rules: list[str]) -> list[Any]:
    """What axe finds by these tags or rules: the rule, and the first elements."""
    found = page.evaluate(
        "async (rules) => (await axe.run(document, {resultTypes: ['violations'], runOnly: rules}))"
        ".violations.map((one) => [one.id, one.nodes.map((node) => node.html).slice(0, 3)])",
        rules,
    )
    return list(found)


def checked(page: Page) -> list[Any]:
    """All that axe finds, in light and in dark colours."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    found = violations(page, RULES)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    return [*found, *([rule, "dark", *more] for rule, *more in violations(page, COLOURS))]


@pytest.fixture
def axe_tab(fleet: DashboardFleet, browser: Browser, session: Any) -> Iterator[Tab]:
    # The checker is a script of ours in a page that allows none: for it alone the policy is off.
    with contextlib.closing(browser.new_context(storage_state=session, bypass_csp=True)) as context:
        context.add_init_script(axe_source())
        yield Tab(context.new_page(), fleet.server.api)


def test_every_page_meets_wcag_aa(axe_tab: Tab, pages: Mapping[str, str]) -> None:
    found = {}
    for name, place in pages.items():
        axe_tab.go(place)
        found[name] = checked(axe_tab.page)
    assert {name: one for name, one in found.items() if one} == {}


def test_dialogs_and_errors_meet_wcag_aa(axe_tab: Tab, pages: Mapping[str, str]) -> None:
    page, found = axe_tab.page, {}
    axe_tab.go("/configs/+")
    page.get_by_role("button", name="Review").click()
    page.get_by_test_id("plan").wait_for()
    found["plan"] = checked(page)
    write_yaml_again(page, "name: NOT GOOD\ndata: []\n")
    page.get_by_role("alert").wait_for()
    found["error"] = checked(page)
    axe_tab.go("/apps/+")
    page.get_by_label("Selector").fill("role in (")
    page.get_by_role("button", name="Add mount").click()
    page.get_by_role("button", name="Add variable").click()
    page.get_by_role("button", name="Review").click()
    page.locator("[aria-invalid=true]").first.wait_for()
    found["form"] = checked(page)
    page.keyboard.press("Control+k")
    page.get_by_role("listbox", name="Places").get_by_role("option").first.wait_for()
    found["palette"] = checked(page)
    page.context.clear_cookies()
    page.goto(f"{axe_tab.url}/?again")
    page.get_by_label("Token", exact=True).wait_for()
    found["sign-in"] = checked(page)
    assert {name: one for name, one in found.items() if one} == {}


def write_yaml_again(page: Page, text: str) -> None:
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    write_yaml(page, text)
    page.get_by_role("button", name="Review").click()


DIALOGS = [
    ("/tokens", "New token"),
    ("/batches/seen", "Add devices"),
    ("/batches/seen", "Delete"),
    ("/nodes/sim-0001", "Edit labels"),
    ("/nodes/sim-0001", "Ask the node"),
    ("/nodes/sim-0001", "Revoke"),
    ("/nodes/sim-0001", "Logs"),
]


def focused(page: Page) -> Locator:
    return page.locator(":focus")


def test_dialogs_are_used_by_keyboard_alone(tab: Tab, pages: Mapping[str, str]) -> None:
    page = tab.page
    for place, name in DIALOGS:
        tab.go(place)
        opener = page.get_by_role("button", name=name, exact=True)
        opener.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        # Where one begins: a field, or what changes nothing.
        expect(dialog.locator(":focus")).to_have_count(1)
        start = focused(page).evaluate("(one) => one.labels?.[0]?.textContent ?? one.textContent")
        assert start.strip() not in {"", "Delete", "Revoke"}, name
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(opener).to_be_focused()


def test_a_form_in_a_dialog_is_sent_by_enter(tab: Tab, fleet: DashboardFleet) -> None:
    page = tab.page
    tab.go("/tokens")
    page.get_by_role("button", name="New token").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("by-enter")
    page.keyboard.press("Enter")
    expect(dialog.get_by_label("The new token")).to_be_visible()
    fleet.api.delete("/v1/tokens/by-enter")


def test_the_first_tab_skips_to_the_page(tab: Tab) -> None:
    page = tab.page
    for place, heading in (("/", "Overview"), ("/events", "Events")):
        tab.go(place)
        page.reload()
        page.get_by_role("heading", name=heading).wait_for()
        tab.await_data()
        page.keyboard.press("Tab")
        expect(focused(page)).to_have_text("Skip to the page")
        expect(focused(page)).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=heading)).to_be_focused()
        # From there on the page's own controls follow.
        page.keyboard.press("Tab")
        assert focused(page).evaluate("(one) => Boolean(one.closest('main'))")
