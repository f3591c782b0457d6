"""From a number to the nodes behind it, in a real browser."""

import contextlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import SECONDS, DashboardFleet, Tab
from tests.end_to_end.conftest import activate, make_batch, wait_for
from tests.end_to_end.node import MqttNode, connected

pytestmark = NEEDS_CHROMIUM
expect.set_options(timeout=SECONDS * 1000)

MANY = 60
"""Nodes beside those that report; more than a page of the list shows."""


@pytest.fixture(scope="module")
def failing(fleet: DashboardFleet) -> Iterator[MqttNode]:
    """One node that failed with the app `broken`, among many that run nothing."""
    batch = make_batch(fleet.api, "finding", labels={"role": "broken"})
    for number in range(MANY):
        fleet.put("POST", "/v1/nodes", {"name": f"shop-{number:03}", "labels": {"role": "shop"}})
    app = {"name": "broken", "selector": "role=broken", "type": "container", "services": []}
    version = fleet.put("POST", "/v1/apps", app)["version"]
    stats = {"name": "broken", "version": version, "status": "Failed", "cause": "no such image"}
    with contextlib.ExitStack() as stack:
        for number in range(MANY):
            stack.callback(fleet.api.delete, f"/v1/nodes/shop-{number:03}")
        stack.callback(fleet.api.delete, "/v1/apps/broken")
        node = stack.enter_context(
            connected(fleet.server, activate(fleet.server, batch, "finding-1"))
        )
        node.report(apps=[])
        node.report(apps=[{"name": "broken", "version": version}], appstats=[stats])

        def has_failed() -> bool:
            rollout = fleet.api.get("/v1/apps/broken/rollout").json()
            return bool(rollout["failed"] == 1)

        wait_for(has_failed, "the failure")
        yield node


def test_a_failed_node_is_two_clicks_from_the_overview(tab: Tab, failing: MqttNode) -> None:
    page = tab.page
    tab.go("/")
    page.get_by_role("region", name="Needs attention").get_by_role(
        "link", name="broken failed on 1 node"
    ).click()
    expect(page.get_by_role("heading", name="Nodes")).to_be_visible()
    expect(page.get_by_text("1 node", exact=True)).to_be_visible()
    page.get_by_role("link", name="finding-1").click()
    expect(page.get_by_test_id("why-broken")).to_contain_text("no such image")


def test_every_count_of_the_overview_leads_to_its_list(tab: Tab, failing: MqttNode) -> None:
    page = tab.page
    tab.go("/")
    page.get_by_role("region", name="Nodes").get_by_role("link", name="never seen").click()
    expect(page.get_by_role("combobox", name="State")).to_have_value("never")
    expect(page.get_by_text(f"{MANY} nodes, page 1")).to_be_visible()
    page.get_by_role("combobox", name="State").select_option("")
    page.get_by_label("Apps").select_option("failed")
    expect(page.get_by_role("link", name="finding-1")).to_be_visible()
    expect(page.get_by_text("1 node", exact=True)).to_be_visible()


def test_a_part_of_the_name_finds_nodes(tab: Tab, failing: MqttNode) -> None:
    page = tab.page
    tab.go("/nodes")
    page.get_by_label("Part of the name, or selector").fill("op-01")
    page.keyboard.press("Enter")
    expect(page.get_by_text("10 nodes")).to_be_visible()
    page.get_by_label("Part of the name, or selector").fill("role=broken")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="finding-1")).to_be_visible()


def test_the_palette_leads_anywhere_by_keyboard(tab: Tab, failing: MqttNode) -> None:
    page = tab.page
    tab.go("/events")
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Part of a name")
    expect(field).to_be_focused()
    field.fill("shop-04")
    options = page.get_by_role("listbox", name="Places").get_by_role("option")
    expect(options).to_have_count(8)
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("shop-04"))).to_be_visible()
    page.keyboard.press("Control+k")
    field.fill("certif")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Certificates that end")).to_be_visible()


def test_events_are_filtered_by_severity_and_type_in_the_address(
    tab: Tab, failing: MqttNode
) -> None:
    page = tab.page
    tab.go("/events")
    page.get_by_label("Severity").select_option("problem")
    expect(page.get_by_role("listitem").filter(has_text="finding-1 failed")).to_have_count(1)
    expect(page.locator(".events").get_by_text("created", exact=True)).to_have_count(0)
    page.get_by_label("Type").focus()
    page.get_by_label("Type").select_option("app.created")
    expect(page.get_by_text("Nothing matches.")).to_be_visible()
    expect(page.get_by_label("Type")).to_be_focused()
    page.reload()
    expect(page.get_by_label("Severity")).to_have_value("problem")
    expect(page.get_by_label("Type")).to_have_value("app.created")
    page.get_by_label("Severity").select_option("")
    expect(page.get_by_role("listitem").filter(has_text="app broken was created")).to_have_count(1)
    expect(page.locator(".events").get_by_text("failed", exact=True)).to_have_count(0)


def test_repeated_events_are_one_row(tab: Tab, fleet: DashboardFleet) -> None:
    page = tab.page
    for number in range(3):
        content = {"name": "flaps", "labels": {"turn": str(number)}}
        fleet.put("PUT" if number else "POST", "/v1/nodes" + "/flaps" * bool(number), content)
    fleet.api.delete("/v1/nodes/flaps")

    def are_numbered() -> bool:
        found = fleet.api.get("/v1/events?name=flaps&type=node.updated,node.deleted").json()
        return bool(found["total"] == 3)

    wait_for(are_numbered, "the events")
    tab.go("/events?name=flaps")
    row = page.locator(".events > li").filter(has_text="node flaps was updated")
    expect(row).to_have_count(1)
    row.get_by_role("link", name="2 times").click()
    expect(row).to_have_count(2)
    expect(page.get_by_label("each repetition on its own")).to_be_checked()
    expect(page.get_by_label("Type")).to_have_value("node.updated")
