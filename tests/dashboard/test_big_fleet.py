"""Ten thousand nodes in a real browser: one that failed is found, and many are labelled."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, expect

from edgesync.__main__ import main
from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import (
    SECONDS,
    DashboardFleet,
    SignedIn,
    Tab,
    new_session,
    signed_in_browser,
)
from tests.end_to_end.conftest import activate, make_batch, running_server, wait_for
from tests.end_to_end.node import connected

pytestmark = NEEDS_CHROMIUM
expect.set_options(timeout=SECONDS * 1000)

NODES = 10_000
CAUSE = "no space left on device"
HOST = {"hostname": "seed", "address": "192.0.2.7", "os": "linux", "arch": "arm64"}
USED = {"usage": {"cpu": "1", "memory": "1Gi"}, "capacity": {"cpu": "4", "memory": "4Gi"}}
COPIED = ("node", "node_status", "label", "report", "reported_app", "last_certificate")
COUNT_CLICKS = "window.clicks = 0; addEventListener('click', () => { window.clicks += 1; }, true)"


def copy_node(database: Path, name: str, count: int) -> None:
    """Put *count* nodes like the one called *name* straight into the database."""
    with contextlib.closing(sqlite3.connect(database, timeout=SECONDS)) as connection, connection:
        for table in COPIED:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            copied = {
                "name": "printf('node-%05d', item.value)",
                "created": "created + 1 + item.value",
                "serial": "serial || '-' || item.value",
                "value": "CASE WHEN key = 'baetyl-node-name'"
                " THEN printf('node-%05d', item.value) ELSE source.value END",
            }
            values = ", ".join(copied.get(column, f"source.{column}") for column in columns)
            connection.execute(
                f"INSERT INTO {table} ({', '.join(columns)})"  # noqa: S608
                f" SELECT {values} FROM {table} AS source"
                " CROSS JOIN (WITH RECURSIVE item (value) AS (SELECT 0 UNION ALL"
                " SELECT value + 1 FROM item WHERE value + 1 < ?) SELECT value FROM item) AS item"
                " WHERE source.name = ?",
                (count, name),
            )
        connection.execute("UPDATE label_revision SET revision = revision + 1")


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardFleet]:
    """A server whose nodes run the app web, but for one that failed."""
    folder = tmp_path_factory.mktemp("big")
    with running_server(folder / "data") as server, server.client() as api:
        fleet = DashboardFleet(server, api)
        batch = make_batch(api, "line", labels={"role": "gateway"})
        app = {"name": "web", "selector": "role=gateway", "type": "container", "services": []}
        version = fleet.put("POST", "/v1/apps", app)["version"]
        kiosk = {**app, "name": "kiosk", "selector": "kiosk=yes"}
        fleet.put("POST", "/v1/apps", kiosk)
        named = {"name": "web", "version": version}
        with (
            connected(server, activate(server, batch, "seed")) as seed,
            connected(server, activate(server, batch, "broken")) as broken,
        ):
            more = {"node": HOST, "nodestats": USED, "core": {"binVersion": "1.4.0"}}
            seed.report(apps=[named], appstats=[{**named, "status": "Running"}], **more)
            failed = {**named, "status": "Failed", "cause": CAUSE}
            broken.report(apps=[named], appstats=[failed])

            def is_reported() -> bool:
                rollout = api.get("/v1/apps/web/rollout").json()
                return bool(rollout["failed"] == rollout["running"] == 1)

            wait_for(is_reported, "both reports")
            copy_node(server.data_dir / "edgesync.db", "seed", NODES - 2)
            yield fleet


@pytest.fixture(scope="module")
def signed_in(big: DashboardFleet, browser: Browser) -> Iterator[SignedIn]:
    state = new_session(browser, big.server)
    with signed_in_browser(browser, state, big.server.api) as signed_in:
        yield signed_in


def test_a_failed_node_is_found_by_two_clicks_and_by_one_command(
    tab: Tab, big: DashboardFleet
) -> None:
    page = tab.page
    tab.go("/")
    page.evaluate(COUNT_CLICKS)
    attention = page.get_by_role("region", name="Needs attention")
    attention.get_by_role("link", name="web failed on 1 node").click()
    page.get_by_role("rowheader", name="broken").get_by_role("link").click()
    expect(page.get_by_test_id("why-web")).to_contain_text(CAUSE)
    assert page.evaluate("window.clicks") == 2
    env = {"EDGESYNC_URL": big.server.api, "EDGESYNC_TOKEN": big.server.token}
    shown = CliRunner(env=env).invoke(main, ["explain", "app", "web"])
    assert shown.exit_code in {0, 1}
    assert "broken" in shown.output
    assert CAUSE in shown.output


def test_all_nodes_are_sorted_not_those_of_the_page(tab: Tab) -> None:
    page = tab.page
    tab.go("/nodes")
    expect(page.get_by_text(f"{NODES:,} nodes, page 1")).to_be_visible()
    first = page.locator("tbody tr").first
    page.get_by_role("button", name="Node", exact=True).click()
    expect(first.get_by_role("rowheader")).to_have_text("broken")
    expect(first.get_by_role("cell").nth(2)).to_have_text("0/1 1 failed")
    page.get_by_role("button", name="Node", exact=True).click()
    expect(first.get_by_role("rowheader")).to_have_text("seed")
    columns = ["", "online", "1/1", "1.4.0", "192.0.2.7", "25 %", "25 %"]
    expect(first.get_by_role("cell").nth(1)).to_have_text(columns[1])
    for place, text in enumerate(columns[2:], 2):
        expect(first.get_by_role("cell").nth(place)).to_have_text(text)
    page.get_by_role("button", name="Next").click()
    expect(first.get_by_role("rowheader")).to_have_text(f"node-{NODES - 3 - 49:05}")
    page.get_by_label("Order").select_option("-memory")
    head = page.get_by_role("columnheader", name="Memory")
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(first.get_by_role("rowheader")).to_have_text("seed")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(first.get_by_role("rowheader")).to_have_text("broken")


def test_nodes_are_labelled_by_ticks_and_by_filter_after_a_preview(
    tab: Tab, big: DashboardFleet
) -> None:
    page = tab.page
    tab.go("/nodes?q=node-0012")
    expect(page.get_by_text("10 nodes")).to_be_visible()
    page.get_by_label("Select node-00121").check()
    page.get_by_label("Select node-00125").check()
    group = page.get_by_role("group", name="Selected nodes")
    expect(group).to_contain_text("2 nodes selected")
    group.get_by_role("button", name="Labels…", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Change of labels").fill("kiosk=yes\nrole-")
    dialog.get_by_role("button", name="Review").click()
    gains = dialog.get_by_role("list", name="Nodes that gain or lose apps")
    expect(gains.get_by_role("listitem")).to_have_text(
        ["node-00121: +kiosk -web", "node-00125: +kiosk -web"]
    )
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(group).to_have_count(0)
    page.get_by_label("Select all on this page").check()
    page.get_by_label("Select node-00120").uncheck()
    group.get_by_role("button", name="Labels of all 10 nodes…").click()
    dialog.get_by_label("Change of labels").fill("floor=2")
    dialog.get_by_role("button", name="Review").click()
    expect(dialog.get_by_test_id("plan")).to_contain_text("10 nodes")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    found = big.api.get("/v1/nodes", params={"selector": "floor=2", "limit": 1}).json()
    assert found["total"] == 10
    found = big.api.get("/v1/nodes", params={"selector": "kiosk=yes,floor=2,!role"}).json()
    assert [item["name"] for item in found["items"]] == ["node-00121", "node-00125"]


def test_properties_of_a_node_are_edited(tab: Tab, big: DashboardFleet) -> None:
    page = tab.page
    tab.go("/nodes/broken")
    properties = page.get_by_role("region", name="Properties")
    properties.get_by_role("button", name="Edit properties").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of property 1").fill("mode")
    dialog.get_by_label("Value of property 1").fill("a = b, c")
    dialog.get_by_role("button", name="Review").click()
    dialog.get_by_role("button", name="Save").click()
    row = properties.get_by_role("row").filter(has_text="mode")
    expect(row.get_by_role("cell").first).to_have_text("a = b, c")
    wanted = big.api.get("/v1/nodes/broken/properties").json()["state"]["desire"]
    assert wanted == {"mode": "a = b, c"}
