"""Devices of a batch, and deliveries of a callback, in a real browser."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import SECONDS, DashboardFleet, Tab
from tests.end_to_end.conftest import activate, claim_for, make_batch, make_csr
from tests.end_to_end.test_callbacks import activate_with_callback
from tests.jobs.receiver import receiving

pytestmark = NEEDS_CHROMIUM
expect.set_options(timeout=SECONDS * 1000)


def test_devices_are_added_and_downloaded(tab: Tab, fleet: DashboardFleet, tmp_path: Path) -> None:
    tab.expected = ["400", "403"]
    page = tab.page
    make_batch(fleet.api, "line", enableWhitelist=1)
    tab.go("/batches/line")
    page.get_by_role("button", name="Add devices").click()
    dialog = page.get_by_role("dialog")
    file = tmp_path / "devices.csv"
    file.write_text('"SN-1",\r\nSN-2\n\nSN-2\n')
    dialog.get_by_label("or from a file").set_input_files(file)
    dialog.get_by_role("button", name="Add 2 devices").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("row").filter(has_text="SN-2")).to_contain_text("waits")
    # One that is there already is named, and stays in the field.
    page.get_by_role("button", name="Add devices").click()
    dialog.get_by_label("Fingerprints, one on each line").fill("SN-1\nSN-3")
    dialog.get_by_role("button", name="Add 2 devices").click()
    expect(dialog.get_by_role("alert")).to_contain_text("SN-1")
    expect(dialog.get_by_label("Fingerprints, one on each line")).to_have_value("SN-1")
    dialog.get_by_role("button", name="Close", exact=True).last.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the fingerprints").click()
    assert download.value.path().read_text().split() == ["SN-1", "SN-2", "SN-3"]


def test_a_refused_device_has_its_reason_and_is_added(tab: Tab, fleet: DashboardFleet) -> None:
    page = tab.page
    batch = make_batch(fleet.api, "closed", enableWhitelist=1)
    _, csr = make_csr()
    with fleet.server.devices() as devices:
        refused = devices.post("/v1/active", json=claim_for(batch, "SN-77", csr))
        assert refused.status_code == 401
    tab.go("/")
    attention = page.get_by_role("region", name="Needs attention")
    attention.get_by_role("link", name="batch closed refused 1 device").click()
    row = page.get_by_role("region", name="Refused devices").get_by_role("row").nth(1)
    expect(row).to_contain_text("SN-77")
    expect(row).to_contain_text("NotOnWhitelist it is not on the whitelist")
    row.get_by_role("button", name="Add a record").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Add 1 device").click()
    expect(dialog).to_have_count(0)
    activate(fleet.server, batch, "SN-77")
    expect(page.get_by_role("region", name="Refused devices")).to_have_count(0)
    for path in ("/v1/nodes/sn-77", "/v1/register/closed/record/sn-77", "/v1/register/closed"):
        assert fleet.api.delete(path).status_code == 200


def test_how_a_callback_does_is_shown(tab: Tab, fleet: DashboardFleet) -> None:
    page = tab.page
    with receiving() as receiver:
        receiver.status = 500
        fleet.put("POST", "/v1/callback", {"name": "crm", "url": f"{receiver.url}/hook"})
        batch = make_batch(fleet.api, "called", callbackName="crm")
        activate_with_callback(fleet.server, batch, "CB-1", site="north")
        tab.go("/callbacks/crm")
        deliveries = page.get_by_role("region", name="Deliveries")
        expect(deliveries).to_contain_text("answered 500")
        expect(deliveries).to_contain_text("No delivery was given up.")
        receiver.status = 200
        expect(deliveries).to_contain_text(re.compile(r"Last delivered(just now|\d+ sec)"))
    for path in ("/v1/nodes/cb-1", "/v1/register/called/record/cb-1", "/v1/register/called"):
        assert fleet.api.delete(path).status_code == 200
    assert fleet.api.delete("/v1/callback/crm").status_code == 200
