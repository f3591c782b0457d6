"""The dashboard in a real browser, beside a real server and nodes that report to it."""

import contextlib
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import (
    NODES,
    SECONDS,
    DashboardFleet,
    Tab,
    sign_in,
    write_yaml,
    yaml_field,
)
from tests.dashboard.pages import pages_of
from tests.end_to_end.conftest import activate, make_batch
from tests.end_to_end.node import connected

pytestmark = NEEDS_CHROMIUM
expect.set_options(timeout=SECONDS * 1000)

ALL_RUN = f"{NODES} of {NODES} nodes run version"
CONFIG = """name: page
data:
  - key: index.html
    value: {type: kv, value: "first"}
"""
APP = """name: site
selector: role=gateway
type: container
services:
  - name: site
    image: nginx:1.29
    volumeMounts: [{name: html, mountPath: /usr/share/nginx/html}]
volumes:
  - name: html
    config: {name: page}
"""


def create(tab: Tab, place: str, text: str, *, reason: str = "") -> None:
    """Write a thing, look at what it would do, and create it."""
    tab.go(f"/{place}/+")
    write_yaml(tab.page, text)
    tab.page.get_by_role("button", name="Review").click()
    dialog = tab.page.get_by_role("dialog")
    expect(dialog.get_by_test_id("plan")).to_be_visible()
    dialog.get_by_label(re.compile("Why")).fill(reason)
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog).to_have_count(0)


def test_a_wrong_token_is_refused_in_the_servers_words_and_a_right_one_is_not(
    fleet: DashboardFleet, browser: Browser
) -> None:
    with contextlib.closing(browser.new_context()) as context:
        tab = Tab(context.new_page(), fleet.server.api, expected=["401"])
        tab.open_sign_in()
        tab.page.get_by_label("Token", exact=True).fill("a guess")
        tab.page.get_by_role("button", name="Sign in").click()
        expect(tab.page.get_by_role("alert")).to_contain_text("the token is not valid")
        sign_in(tab.page, fleet.server.token)
        assert tab.page.evaluate("document.cookie") == ""
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        tab.page.get_by_role("button", name="Sign out").click()
        expect(tab.page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert context.cookies() == []
        tab.check()


def test_an_app_is_made_watched_changed_and_taken_back(tab: Tab, fleet: DashboardFleet) -> None:
    page = tab.page
    create(tab, "configs", CONFIG)
    expect(page.get_by_role("heading", name="page", exact=True)).to_be_visible()
    create(tab, "apps", APP, reason="a site for the door, öffentlich €")
    expect(page.get_by_role("heading", name="site", exact=True)).to_be_visible()
    # It is shown as it happens, without a reload of the page.
    expect(page.get_by_text(ALL_RUN)).to_be_visible()
    expect(page.get_by_test_id("rollout")).to_contain_text("100 %")
    before = fleet.api.get("/v1/apps/site").json()["version"]
    written = page.locator("pre.definition").inner_text()
    assert "image: nginx:1.29" in written
    assert not re.search(r"\[\]|{}|''|^version|^name|createTime", written)

    tab.go("/configs/page")
    page.get_by_role("button", name="Edit").click()
    text = fleet.api.get("/v1/configs/page", headers={"Accept": "application/yaml"}).text
    kept = [line for line in text.splitlines() if not re.match("namespace|version|.*Time:", line)]
    write_yaml(page, "\n".join(kept).replace("first", "second"))
    page.get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_test_id("plan")).to_contain_text(f"Nodes touched{NODES} of ")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("pre.definition")).to_contain_text("second")

    page.get_by_role("link", name="History").click()
    page.get_by_role("button", name="Compare revision 2 with the one before").click()
    expect(page.get_by_label("Difference")).to_contain_text("second")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Go back to revision 1").click()
    dialog.get_by_role("button", name="Go back", exact=True).click()
    expect(page.get_by_text("undo", exact=True)).to_be_visible()
    tab.go("/apps/site")
    expect(page.get_by_text(ALL_RUN)).to_be_visible()
    after = fleet.api.get("/v1/apps/site").json()["version"]
    assert after != before
    assert "first" in fleet.api.get("/v1/configs/page").text
    log = fleet.api.get("/v1/audit?action=app.create&name=site").json()
    assert [one["reason"] for one in log["items"]] == ["a site for the door, öffentlich €"]


def test_the_secret_of_a_new_callback_is_shown_once(tab: Tab, fleet: DashboardFleet) -> None:
    create(tab, "callbacks", "name: crm\nurl: http://127.0.0.1:9/\nevents: [node.lost]\n")
    secret = tab.page.get_by_label("Secret of the callback")
    expect(secret).to_contain_text("whsec_")
    text = secret.inner_text()
    tab.page.get_by_role("link", name="Continue").click()
    tab.page.get_by_role("button", name="Show it").click()
    definition = tab.page.locator("pre.definition")
    expect(definition).to_contain_text("node.lost")
    expect(definition).not_to_contain_text(text)
    expect(definition).not_to_contain_text("state:")
    fleet.api.delete("/v1/callback/crm")


def test_the_overview_follows_what_happens(tab: Tab, fleet: DashboardFleet) -> None:
    tab.go("/")
    tab.page.evaluate("window.isTheSamePage = true")
    app = {"name": "live", "selector": "role=gateway", "type": "container", "services": []}
    fleet.put("POST", "/v1/apps", app)
    change = tab.page.get_by_role("region", name="Last change")
    expect(change).to_contain_text("live")
    expect(change).to_contain_text("all nodes run it")
    assert tab.page.evaluate("window.isTheSamePage") is True
    fleet.api.delete("/v1/apps/live")


def test_errors_stand_at_their_fields(tab: Tab) -> None:
    tab.expected.append("400")
    tab.go("/configs/+")
    field = yaml_field(tab.page)
    for text, words, line in [
        ("name: x\ndata: []\nname: y\n", "line 3, column 1", "name: y"),
        ("name: x\ndata: 5\n", "data: ", "data: 5"),
        ("name: NOT GOOD\ndata: []\n", "name: ", "name: NOT GOOD"),
    ]:
        write_yaml(tab.page, text)
        tab.page.get_by_role("button", name="Review").click()
        alert = tab.page.get_by_role("alert")
        expect(alert).to_contain_text(words)
        expect(alert).to_contain_text("request ")
        expect(field).to_be_focused()
        expect(tab.page.locator(".cm-lintRange-error")).to_have_text(line)


def test_the_editor_completes_from_the_schema(tab: Tab) -> None:
    page = tab.page
    tab.go("/apps/+")
    write_yaml(page, "name: web\nservices:\n  - name: web\n    ")
    page.keyboard.press("Control+End")
    page.keyboard.type("imageP")
    options = page.locator(".cm-tooltip-autocomplete li")
    expect(options.first).to_contain_text("imagePullPolicy")
    options.first.click()
    page.keyboard.type("Al")
    expect(options.first).to_contain_text("Always")
    options.first.click()
    expect(yaml_field(page)).to_contain_text("imagePullPolicy: Always")


def test_a_failing_node_is_explained(tab: Tab, fleet: DashboardFleet) -> None:
    batch = make_batch(fleet.api, "b2", labels={"role": "till"})
    app = {"name": "till", "selector": "role=till", "type": "container", "services": []}
    version = fleet.put("POST", "/v1/apps", app)["version"]
    stats = {"name": "till", "version": version, "status": "Failed", "cause": "no such image"}
    with connected(fleet.server, activate(fleet.server, batch, "till-1")) as node:
        tab.go("/nodes/till-1")
        expect(tab.page.get_by_test_id("why-till")).to_be_visible()
        node.report(apps=[{"name": "till", "version": version}], appstats=[stats])
        row = tab.page.get_by_role("row").filter(has=tab.page.get_by_test_id("why-till"))
        expect(row).to_contain_text("failed")
        expect(row).to_contain_text("no such image")
        expect(tab.page.get_by_text("not converged")).to_be_visible()
    # The other modules count the nodes of this fleet that failed.
    for path in ("/v1/nodes/till-1", "/v1/apps/till"):
        assert fleet.api.delete(path).status_code == 200


def test_a_node_answers_what_it_is_asked(tab: Tab) -> None:
    tab.go("/nodes/sim-0001")
    for name in ("Facts", "Usage", "Certificate", "Timeline"):
        expect(tab.page.get_by_role("region", name=name)).to_be_visible()
    expect(tab.page.get_by_role("region", name="Certificate")).to_contain_text("in 89 days")
    tab.page.get_by_role("button", name="Ask the node").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_label("What").select_option("report")
    dialog.get_by_role("button", name="Ask", exact=True).click()
    expect(dialog.get_by_text("done", exact=True)).to_be_visible()


def test_logs_are_followed_searched_and_downloaded(tab: Tab, fleet: DashboardFleet) -> None:
    page = tab.page
    batch = make_batch(fleet.api, "b3")
    with connected(fleet.server, activate(fleet.server, batch, "logger-1")) as node:
        node.report(apps=[])
        tab.go("/nodes/logger-1")
        page.get_by_role("button", name="Logs").click()
        dialog = page.get_by_role("dialog")
        command = node.next("command")["content"]
        assert (command["command"], command["follow"]) == ("logs", True)

        def answer(part: int, output: str, status: str = "running") -> None:
            content = {"id": command["id"], "status": status, "part": part, "output": output}
            node.send("command-response", "command", content)

        log = dialog.get_by_label("Log", exact=True)
        answer(1, "first line\nsecond line\n")
        expect(log).to_contain_text("second line")
        answer(2, "third line, of another matter\n")
        expect(log).to_contain_text("third line")
        dialog.get_by_label("Lines with").fill("MATTER")
        expect(log).to_have_text("third line, of another matter")
        answer(3, "a last matter\n", "done")
        expect(log).to_contain_text("a last matter")
        expect(dialog.get_by_text("done", exact=True)).to_be_visible()
        with page.expect_download() as download:
            dialog.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == "logger-1-agent.log"
        assert download.value.path().read_text().startswith("first line\nsecond line\n")


def test_usage_is_shown_for_a_range_and_a_moment(tab: Tab) -> None:
    tab.go("/nodes/sim-0001")
    usage = tab.page.get_by_role("region", name="Usage")
    expect(usage.get_by_role("status")).to_contain_text("since")
    usage.get_by_role("button", name="1 h", exact=True).click()
    expect(usage.get_by_role("button", name="1 h", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    usage.get_by_role("img").hover()
    usage.get_by_role("img").hover(position={"x": 45, "y": 60})
    expect(usage.get_by_role("status")).not_to_contain_text("since")


def test_labels_of_a_node_are_changed_on_its_page(tab: Tab, fleet: DashboardFleet) -> None:
    fleet.put("POST", "/v1/nodes", {"name": "shelf", "labels": {"role": "old", "site": "north"}})
    app = {"name": "shelves", "selector": "role=shelf", "type": "container", "services": []}
    fleet.put("POST", "/v1/apps", app)
    tab.go("/nodes/shelf")
    tab.page.get_by_role("button", name="Edit labels").click()
    dialog = tab.page.get_by_role("dialog")
    field = dialog.get_by_label(re.compile("Labels, one on each line"))
    expect(field).to_have_value("role=old\nsite=north")
    field.fill("role")
    dialog.get_by_role("button", name="Review").click()
    expect(dialog.get_by_role("alert")).to_contain_text("role: a label is written as key=value")
    field.fill("role=shelf\nfloor=2")
    dialog.get_by_role("button", name="Review").click()
    expect(dialog.get_by_test_id("plan")).to_contain_text("shelves")
    dialog.get_by_role("button", name="Save").click()
    expect(tab.page.get_by_role("region", name="Facts")).to_contain_text("floor=2")
    labels = fleet.api.get("/v1/nodes/shelf").json()["labels"]
    assert labels == {"baetyl-node-name": "shelf", "role": "shelf", "floor": "2"}
    for path in ("/v1/nodes/shelf", "/v1/apps/shelves"):
        fleet.api.delete(path)


def test_a_guard_asks_once_more(tab: Tab, fleet: DashboardFleet) -> None:
    fleet.put("PUT", "/v1/guard", {"maxShare": 0.1, "minNodes": 1})
    try:
        tab.go("/apps/+")
        text = "name: wide\nselector: role=gateway\ntype: container\nservices: []\n"
        write_yaml(tab.page, text)
        tab.page.get_by_role("button", name="Review").click()
        dialog = tab.page.get_by_role("dialog")
        consent = dialog.get_by_role("button", name="Create", exact=True)
        expect(dialog.get_by_label(re.compile("I mean it"))).to_be_visible()
        expect(consent).to_be_disabled()
        dialog.get_by_label(re.compile("I mean it")).check()
        consent.click()
        expect(tab.page.get_by_role("heading", name="wide", exact=True)).to_be_visible()
    finally:
        fleet.put("PUT", "/v1/guard", {"maxShare": 1, "minNodes": 0})
        fleet.api.delete("/v1/apps/wide")


def press_until(page: Page, key: str, name: str) -> None:
    """Move the focus with *key* until it is on what has this name."""
    for _ in range(60):
        page.keyboard.press(key)
        focused = page.evaluate(
            "() => { let one = document.activeElement;"
            " while (one.shadowRoot) one = one.shadowRoot.activeElement;"
            " return one.ariaLabel || (one.labels?.[0] || one).textContent.trim() }"
        )
        if focused.startswith(name):
            return
    pytest.fail(f"the keyboard does not lead to {name}")


def test_everything_is_done_by_keyboard(tab: Tab) -> None:
    page = tab.page
    tab.go("/")
    press_until(page, "Tab", "Secrets")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Secrets")).to_be_focused()
    press_until(page, "Tab", "New secret")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New secret")).to_be_focused()
    press_until(page, "Tab", "The new secret")
    # Chromium gives a style to what is typed over a selection; the policy refuses it.
    tab.expected.append("Applying inline style")
    page.keyboard.press("Control+a")
    page.keyboard.type("name: by-hand\ndata: {word: sesame}\n")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("plan")).to_be_visible()
    press_until(page, "Tab", "Create")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="by-hand")).to_be_focused()
    # Its value is not shown before a user asks for it.
    assert "sesame" not in page.content()
    page.go_back()
    expect(page.get_by_role("heading", name="Secrets")).to_be_visible()
    press_until(page, "Shift+Tab", "Skip to the page")


def test_a_revoked_token_ends_the_session_with_a_message(
    fleet: DashboardFleet, browser: Browser
) -> None:
    draft = {"name": "visitor", "role": "viewer"}
    token = fleet.put("POST", "/v1/tokens", draft)["token"]
    with contextlib.closing(browser.new_context()) as context:
        tab = Tab(context.new_page(), fleet.server.api, expected=["401"])
        tab.open_sign_in()
        sign_in(tab.page, token)
        tab.go("/apps")
        expect(tab.page.get_by_role("link", name="New app")).to_have_count(0)
        expect(tab.page.get_by_role("link", name="Audit")).to_have_count(0)
        fleet.api.delete("/v1/tokens/visitor")
        tab.page.evaluate("location.hash = '#/nodes'")
        expect(tab.page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(tab.page.get_by_text("the token is not valid")).to_be_visible()
        tab.check()


def test_a_phone_shows_everything_without_scrolling_sideways(
    tab: Tab, fleet: DashboardFleet
) -> None:
    tab.page.set_viewport_size({"width": 360, "height": 740})
    pages = pages_of(fleet.api, app="site", config="page", batch="b1", node="sim-0001")
    for place in pages.values():
        tab.expected = ["404"]
        tab.go(place)
        width = tab.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, place
    tab.go("/")
    tab.page.get_by_role("button", name="Menu").click()
    tab.page.get_by_role("link", name="Nodes").click()
    expect(tab.page.get_by_role("heading", name="Nodes")).to_be_visible()
    expect(tab.page.get_by_role("link", name="sim-0001")).to_be_visible()
