"""The pages of rollouts: followed, approved and taken back."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import NODES, SECONDS, DashboardFleet, Tab
from tests.end_to_end.conftest import wait_for

pytestmark = [*NEEDS_CHROMIUM, pytest.mark.timeout(180)]
expect.set_options(timeout=SECONDS * 1000)

POLICY = {
    "name": "careful",
    "apps": {"names": ["rolled"]},
    "stages": [{"name": "canary", "limit": 1}, {"name": "rest", "approval": "required"}],
}


def app(image: str) -> dict[str, Any]:
    service = {"name": "main", "image": image}
    return {"name": "rolled", "selector": "role=gateway", "services": [service]}


@pytest.fixture
def rolled(fleet: DashboardFleet) -> Iterator[str]:
    """An app that all nodes run, under a policy; the name of the rollout of its next version."""
    api = fleet.api
    fleet.put("POST", "/v1/apps", app("nginx:1"))
    wait_for(
        lambda: api.get("/v1/apps/rolled/rollout").json()["running"] == NODES, "the first version"
    )
    fleet.put("POST", "/v1/rolloutpolicies", POLICY)
    version = fleet.put("PUT", "/v1/apps/rolled", app("nginx:2"))["version"]
    yield f"rolled.{version}"
    api.delete("/v1/apps/rolled")
    api.delete("/v1/rolloutpolicies/careful")


def test_a_rollout_is_followed_approved_and_another_one_taken_back(
    tab: Tab, fleet: DashboardFleet, rolled: str
) -> None:
    page = tab.page
    tab.go("/")
    running = page.get_by_role("region", name="Rollouts under way")
    running.get_by_role("link", name=rolled).click()
    expect(page.locator("main h1")).to_have_text(rolled)
    canary = page.get_by_test_id("stage-canary")
    expect(canary.get_by_role("link", name="1 updated")).to_be_visible()
    expect(page.locator("main .lead")).to_contain_text("waiting for approval")
    expect(page.get_by_test_id("waits").get_by_role("listitem")).to_have_count(NODES - 1)

    canary.get_by_role("link", name="1 updated").click()
    nodes = page.get_by_test_id("rollout-nodes")
    expect(nodes.get_by_role("heading")).to_have_text("Nodes of stage canary, updated")
    expect(nodes.locator("tbody tr")).to_have_count(1)
    nodes.get_by_role("button", name="Show all").click()

    page.get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(page.locator("main .lead .badge")).to_have_text("done")
    rest = page.get_by_test_id("stage-rest")
    expect(rest.get_by_role("link", name=f"{NODES - 1} updated")).to_be_visible()
    expect(rest).to_contain_text("approved by")
    expect(page.get_by_test_id("timeline")).to_contain_text("is done")
    expect(nodes.locator("tbody tr")).to_have_count(NODES)

    version = fleet.put("PUT", "/v1/apps/rolled", app("nginx:3"))["version"]
    tab.go(f"/rollouts/rolled.{version}")
    expect(canary.get_by_role("link", name="1 updated")).to_be_visible()
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator("main .lead .badge")).to_have_text("rolled back")
    expect(canary.get_by_role("link", name="1 returned")).to_be_visible()

    tab.go("/rollouts")
    rows = page.get_by_role("table", name="Rollouts").locator("tbody tr")
    expect(rows.first).to_contain_text(f"rolled.{version}")
    expect(rows.filter(has_text=rolled)).to_contain_text("done")
