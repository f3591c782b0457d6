"""The history of the fleet on the overview, in a real browser."""

import re
import sqlite3
import time

from playwright.sync_api import expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import SECONDS, DashboardFleet, Tab

pytestmark = NEEDS_CHROMIUM
expect.set_options(timeout=SECONDS * 1000)

MINUTE = 60
PUT = "INSERT OR REPLACE INTO trend_point VALUES (?, ?, 'history', 10, ?, 5, ?, 1)"


def test_trends_have_a_range_a_moment_and_their_true_start(tab: Tab, fleet: DashboardFleet) -> None:
    now = int(time.time()) // MINUTE
    with sqlite3.connect(fleet.server.data_dir / "edgesync.db", timeout=SECONDS) as database:
        # Two hours ago half of the nodes were online, then all of them.
        database.executemany(
            PUT,
            [(MINUTE, now - back, 5 if back > 60 else 10, 90) for back in range(1, 121)],
        )
    database.close()
    page = tab.page
    tab.go("/")
    # Without nodes of its own, so that the server records none.
    page.evaluate("localStorage.setItem('edgesync.namespace', 'history')")
    page.reload()
    trends = page.get_by_role("region", name="Trends")
    states = trends.get_by_role("img", name="Online and converged nodes")
    expect(states).to_have_accessible_name(
        "Online and converged nodes. Last: Converged 5 of 10 (50 %), Online 10 of 10 (100 %)."
    )
    reports = trends.get_by_role("img", name="Reports per second. Last: Reports 1.5/s")
    expect(reports).to_be_visible()
    expect(trends.get_by_role("status").first).to_contain_text("since")
    # By keyboard: the last point, then the one before.
    states.focus()
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    expect(trends.get_by_role("status").first).not_to_contain_text("since")
    page.keyboard.press("Escape")
    expect(trends.get_by_role("status").first).to_contain_text("since")
    # The oldest point under the pointer.
    states.hover(position={"x": 50, "y": 60})
    expect(trends).to_contain_text(re.compile(r"Online 5 of 10 \(50 %\)"))
    answered = page.expect_response(re.compile("hours=720"))
    with answered as response:
        trends.get_by_role("button", name="30 d").click()
    assert response.value.json()["step"] == 3600
