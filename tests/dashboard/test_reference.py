"""The reference of the API at /docs, in a real browser under its strict policy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import SECONDS, DashboardFleet, Tab

pytestmark = [*NEEDS_CHROMIUM, pytest.mark.timeout(360)]
expect.set_options(timeout=SECONDS * 1000)
WAIT = 3 * SECONDS * 1000
"""Milliseconds for a call to be shown: the library that shows it is large."""


def open_call(tab: Tab, words: str, operation: str) -> Locator:
    """Find a call by *words* in the sidebar and open it."""
    tab.open("/docs", tab.page.locator("#reference .opblock-body"))
    tab.page.get_by_label("Search").fill(words)
    links = tab.page.get_by_label("Calls of the API").get_by_role("link")
    expect(links).to_have_count(1)
    links.first.click()
    block = tab.page.locator(f"[id$='-{operation}']")
    expect(block.locator(".opblock-body")).to_be_visible(timeout=WAIT)
    expect(links.first).to_have_attribute("aria-current", "page")
    return block


def run(command: list[str], fleet: DashboardFleet) -> str:
    environment = os.environ | {"EDGESYNC_TOKEN": fleet.server.token}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_the_shown_calls_work_in_a_shell_and_in_python(
    tab: Tab, fleet: DashboardFleet, tmp_path: Path
) -> None:
    block = open_call(tab, "get /v1/overview", "get_overview")
    shell, python = block.locator(".renderedMarkdown pre").all_inner_texts()
    assert "online" in run(["sh", "-c", shell], fleet)
    program = tmp_path / "call.py"
    program.write_text(python)
    assert "online" in run([sys.executable, str(program)], fleet)
    # The page shows the response that the server sent.
    expect(block.locator(".responses-table")).to_contain_text("lastChange")


def test_a_call_is_tried_with_the_session(tab: Tab, fleet: DashboardFleet) -> None:
    block = open_call(tab, "put /v1/guard", "put_guard")
    block.get_by_role("button", name="Try it out").click()
    try:
        block.get_by_role("button", name="Execute").click()
        answered = block.locator(".live-responses-table .response-col_status").last
        expect(answered).to_contain_text("200")
        assert fleet.api.get("/v1/guard").json() == {"maxShare": 0.25, "minNodes": 50}
    finally:
        fleet.put("PUT", "/v1/guard", {"maxShare": 1, "minNodes": 0})


def test_the_place_of_a_call_is_its_address(tab: Tab) -> None:
    block = open_call(tab, "get /v1/overview", "get_overview")
    address = tab.page.url
    open_call(tab, "get /v1/guard", "get_guard")
    expect(block).to_have_count(0)
    tab.open(address.removeprefix(tab.url), block)


def test_a_search_without_a_result_has_a_message(tab: Tab) -> None:
    tab.open("/docs", tab.page.locator("#reference .opblock-body"))
    tab.page.get_by_label("Search").fill("frobnicate")
    expect(tab.page.get_by_text("No call has this in it.")).to_be_visible()
