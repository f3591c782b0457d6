"""Tokens, guard, a new device and a lost connection, in a real browser."""

import contextlib
import re
from pathlib import Path

import httpx
from playwright.sync_api import Browser, expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import SECONDS, DashboardFleet, Tab, sign_in
from tests.end_to_end.conftest import activate, make_batch, running_server
from tests.end_to_end.node import connected
from tests.plain_http import NO_TLS
from tests.ports import free_port

pytestmark = NEEDS_CHROMIUM
expect.set_options(timeout=SECONDS * 1000)


def whoami(fleet: DashboardFleet, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{fleet.server.api}/v1/nodes", headers=headers, verify=NO_TLS).status_code


def test_a_token_is_made_shown_once_and_revoked(tab: Tab, fleet: DashboardFleet) -> None:
    tab.go("/tokens")
    page = tab.page
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("shell")
    dialog.get_by_label("Role").select_option("operator")
    dialog.get_by_role("button", name="Create").click()
    token = dialog.get_by_label("The new token").inner_text().strip()
    assert whoami(fleet, token) == 200
    dialog.get_by_role("button", name="Done").click()
    row = page.get_by_role("row").filter(has_text="shell")
    expect(row).to_contain_text("operator")
    expect(row).to_contain_text(re.compile("in (89|90) days"))  # rounded
    assert token not in page.content()
    page.get_by_role("button", name="Revoke shell").click()
    dialog.get_by_role("button", name="Revoke", exact=True).click()
    expect(row).to_have_count(0)
    assert whoami(fleet, token) == 401


def test_a_refused_draft_has_the_reason(tab: Tab) -> None:
    tab.expected = ["400"]
    tab.go("/tokens")
    tab.page.get_by_role("button", name="New token").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("NOT GOOD")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("name: ")


def test_the_guard_is_set_by_an_admin(tab: Tab, fleet: DashboardFleet) -> None:
    tab.go("/guard")
    page = tab.page
    try:
        page.get_by_label(re.compile("Largest share")).fill("20")
        page.get_by_label(re.compile("Smaller changes")).fill("3")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("more than 20 % of the nodes, and of 3 nodes")).to_be_visible()
        assert fleet.api.get("/v1/guard").json() == {"maxShare": 0.2, "minNodes": 3}
    finally:
        fleet.put("PUT", "/v1/guard", {"maxShare": 1, "minNodes": 0})


def test_a_viewer_sees_the_guard_and_no_tokens(fleet: DashboardFleet, browser: Browser) -> None:
    token = fleet.put("POST", "/v1/tokens", {"name": "looker", "role": "viewer"})["token"]
    with contextlib.closing(browser.new_context()) as context:
        tab = Tab(context.new_page(), fleet.server.api)
        tab.open_sign_in()
        sign_in(tab.page, token)
        expect(tab.page.get_by_role("link", name="Tokens")).to_have_count(0)
        tab.go("/guard")
        expect(tab.page.get_by_role("button", name="Save")).to_have_count(0)
        tab.go("/add")
        expect(tab.page.get_by_text("A viewer changes nothing.")).to_be_visible()
        tab.check()
    fleet.api.delete("/v1/tokens/looker")


def test_a_device_of_a_batch_is_seen_to_connect(tab: Tab, fleet: DashboardFleet) -> None:
    batch = make_batch(fleet.api, "wizard", labels={"role": "new"})
    page = tab.page
    tab.go("/nodes")
    page.get_by_role("link", name="Add a device").click()
    page.get_by_label("A device of a batch").check()
    page.get_by_role("combobox", name=re.compile("Batch")).select_option("wizard")
    page.get_by_role("button", name="Use this batch").click()
    expect(page.get_by_label("Installation command")).to_contain_text("/v1/init/")
    expect(page.get_by_text("Waiting for a device of batch wizard")).to_be_visible()
    identity = activate(fleet.server, batch, "wizard-1")
    arrival = page.get_by_test_id(f"arrival-{identity.name}")
    expect(arrival).to_contain_text("waiting")
    with connected(fleet.server, identity) as node:
        node.report(apps=[])
        expect(arrival).to_contain_text("connected")


def test_a_node_is_made_with_its_labels(tab: Tab, fleet: DashboardFleet) -> None:
    page = tab.page
    tab.go("/add")
    page.get_by_label("Name of the node").fill("gate-7")
    page.get_by_label("Labels").fill("role")
    page.get_by_role("button", name="Create the node").click()
    expect(page.get_by_role("alert")).to_contain_text("role: a label is written as key=value")
    page.get_by_label("Labels").fill("role=new, site=north")
    page.get_by_role("button", name="Create the node").click()
    expect(page.get_by_label("Installation command")).to_contain_text("/v1/init/")
    expect(page.get_by_test_id("arrival-gate-7")).to_contain_text("waiting")
    labels = fleet.api.get("/v1/nodes/gate-7").json()["labels"]
    assert (labels["role"], labels["site"]) == ("new", "north")
    fleet.api.delete("/v1/nodes/gate-7")


def test_a_lost_connection_is_shown_with_the_age_of_the_page(
    browser: Browser, tmp_path: Path
) -> None:
    port = ("--api-port", str(free_port()))
    with contextlib.closing(browser.new_context()) as context:
        with running_server(tmp_path / "data", *port) as server:
            tab = Tab(context.new_page(), server.api, expected=["ERR_"])
            tab.open_sign_in()
            sign_in(tab.page, server.token)
            expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
        banner = tab.page.get_by_text(re.compile("No connection to the server. What is shown is"))
        expect(banner).to_be_visible()
        with running_server(tmp_path / "data", *port):
            expect(banner).to_have_count(0)
            tab.check()


def test_a_count_of_a_namespace_leads_to_its_list(tab: Tab, fleet: DashboardFleet) -> None:
    within = {"X-Edgesync-Namespace": "annex"}
    fleet.api.post("/v1/nodes", json={"name": "annex-1"}, headers=within).raise_for_status()
    try:
        page = tab.page
        tab.go("/namespaces")
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="annex"))
        expect(row.get_by_role("cell")).to_have_text(["1", "0", "0", "0", "1", "0", "0"])
        row.get_by_role("link", name="1").nth(1).click()
        expect(page.get_by_role("heading", name="Nodes")).to_be_visible()
        expect(page.get_by_role("combobox", name="State")).to_have_value("never")
        expect(page.get_by_role("rowheader", name="annex-1")).to_be_visible()
        field = page.get_by_role("combobox", name="Namespace")
        expect(field).to_have_value("annex")
        field.fill("default")
        field.press("Enter")
        expect(page.get_by_role("rowheader", name="annex-1")).to_have_count(0)
        tab.go("/namespaces")
        expect(page.get_by_role("rowheader", name="default selected")).to_be_visible()
    finally:
        fleet.api.delete("/v1/nodes/annex-1", headers=within).raise_for_status()
