"""The dashboard's list and page of a kind that is registered and nothing else."""

import contextlib
import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.chromium import NEEDS_CHROMIUM, chromium
from tests.dashboard.conftest import Tab, sign_in, write_yaml, yaml_field
from tests.end_to_end.conftest import Server
from tests.kinds.conftest import CODE, call, site

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def kind_tab(kind_server: Server) -> Iterator[Tab]:
    """A page of the dashboard, signed in."""
    with chromium() as browser, contextlib.closing(browser.new_context()) as context:
        tab = Tab(context.new_page(), kind_server.api)
        tab.open_sign_in()
        sign_in(tab.page, kind_server.token)
        yield tab
        tab.check()


def save(page: Page, text: str, button: str) -> None:
    """Write a definition, review it, and confirm."""
    write_yaml(page, text)
    page.get_by_role("button", name="Review").click()
    page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()


def test_the_dashboard_creates_changes_and_takes_it_back(
    sites: httpx.Client, kind_tab: Tab
) -> None:
    page = kind_tab.page
    page.get_by_role("link", name="Sites").click()
    expect(page.get_by_text("Where nodes stand.")).to_be_visible()
    page.get_by_role("link", name="New site").click()
    expect(yaml_field(page)).to_contain_text("address: 1 Harbour Road")
    save(page, f"name: bay\naddress: 1 bay road\ndoorCode: {CODE}\n", "Create")
    expect(page.get_by_role("heading", name="bay", exact=True)).to_be_visible()
    definition = page.locator("pre.definition")
    expect(definition).to_contain_text("1 bay road")
    expect(definition).not_to_contain_text(CODE)

    before = definition.inner_text()
    page.get_by_role("button", name="Edit").click()
    save(page, before.replace("bay road", "cliff"), "Save")
    expect(definition).to_contain_text("1 cliff")
    page.get_by_role("link", name="History").click()
    page.get_by_role("button", name="Compare revision 2 with the one before").click()
    difference = page.get_by_label("Difference")
    expect(difference).to_contain_text("1 cliff")
    expect(difference).not_to_contain_text("(changed)")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Go back to revision 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Go back", exact=True).click()
    expect(page.get_by_text("undo", exact=True)).to_be_visible()
    assert call(sites, "GET", "/v1/sites/bay")["address"] == "1 bay road"


def test_the_dashboard_lists_it_and_deletes_it(sites: httpx.Client, kind_tab: Tab) -> None:
    page = kind_tab.page
    call(sites, "POST", "/v1/sites", site("cape"))
    kind_tab.go("/sites")
    expect(page.get_by_role("row", name=re.compile("cape.*1 cape road"))).to_be_visible()
    call(sites, "POST", "/v1/sites", site("live"))
    expect(page.get_by_role("link", name="live", exact=True)).to_be_visible()
    page.get_by_role("link", name="cape", exact=True).click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("link", name="live", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="cape", exact=True)).to_have_count(0)
    assert sites.get("/v1/sites/cape").status_code == 404
