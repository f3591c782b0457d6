"""Channels and rules of notifications in a real browser: list, editor, test button, messages."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import SECONDS, DashboardFleet, Tab, axe_source, write_yaml
from tests.dashboard.test_accessibility import RULES, violations
from tests.dashboard.test_dashboard import create
from tests.jobs.receiver import Receiver, receiving

pytestmark = NEEDS_CHROMIUM
expect.set_options(timeout=SECONDS * 1000)

RULE = """\
name: new-configs
events: [config.created]
severity: info
gatherSeconds: 0
channels: [chat]
"""


@pytest.fixture
def receiver(fleet: DashboardFleet) -> Iterator[Receiver]:
    with receiving() as there:
        yield there
    fleet.api.delete("/v1/notificationrules/new-configs")
    fleet.api.delete("/v1/channels/chat")
    fleet.api.delete("/v1/configs/noticed")


def test_a_channel_is_made_tried_and_notified(
    tab: Tab, fleet: DashboardFleet, receiver: Receiver
) -> None:
    page = tab.page
    create(tab, "channels", f"name: chat\ntype: slack\nurl: {receiver.url}/hook\n")
    messages = page.get_by_role("region", name="Messages")
    expect(messages).to_contain_text(receiver.url.removeprefix("http://"))
    expect(page.locator("pre.definition")).not_to_contain_text(receiver.url)
    button = messages.get_by_role("button", name="Send a test message")
    button.click()
    expect(messages.get_by_role("status")).to_contain_text("sent answered 204")
    assert receiver.got[0].json["text"].startswith("*info: test of the channel chat*")
    receiver.status = 503
    button.click()
    expect(messages.get_by_role("status")).to_contain_text("failed answered 503")
    rows = messages.get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("given up")
    page.evaluate(axe_source())
    assert violations(page, RULES) == []
    receiver.status = 200
    messages.get_by_role("button", name="Send again what was given up").click()
    expect(rows.nth(1)).to_contain_text(re.compile("sent.*answered 200"))

    create(tab, "notificationrules", RULE)
    expect(page.get_by_role("heading", name="new-configs", exact=True)).to_be_visible()
    fleet.put("POST", "/v1/configs", {"name": "noticed", "data": []})
    tab.go("/channels/chat")
    row = page.get_by_role("row").filter(has_text="config noticed was created")
    expect(row).to_contain_text(re.compile("new-configs.*sent"))

    page.get_by_role("button", name="Edit").click()
    write_yaml(page, "type: slack\nurl: '********'\ndescription: the night shift\n")
    page.get_by_role("button", name="Review").click()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.locator("pre.definition")).to_contain_text("the night shift")
    tab.go("/channels")
    listed = page.get_by_role("row").filter(has_text="chat")
    expect(listed).to_contain_text("slack")
    tab.go("/notificationrules")
    expect(page.get_by_role("heading", name="Notification rules")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="new-configs")).to_contain_text("config.created")
    tested = [one for one in receiver.got if "test of the channel" in one.json["text"]]
    assert len(tested) == 3
