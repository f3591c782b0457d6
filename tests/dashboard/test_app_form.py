"""An app as a form and as YAML, in a real browser."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import SECONDS, DashboardFleet, Tab, write_yaml, yaml_field

pytestmark = NEEDS_CHROMIUM
expect.set_options(timeout=SECONDS * 1000)

WRITTEN = """# For the door, see issue 7
name: door
selector: role=nowhere
services:
  - name: web
    image: nginx:1.28   # pinned
    readinessProbe: {httpGet: {port: 80}}
    volumeMounts: [{name: html, mountPath: /html}]
volumes:
  - name: html
    emptyDir: {}
"""


def row(page: Page, noun: str, number: int) -> Locator:
    return page.get_by_role("group", name=f"{noun} {number}", exact=True)


def switch_to(page: Page, view: str) -> None:
    button = page.get_by_role("button", name=view, exact=True)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")


def test_an_app_is_made_with_the_form(tab: Tab, fleet: DashboardFleet) -> None:
    page = tab.page
    fleet.put("POST", "/v1/configs", {"name": "door-page", "data": []})
    tab.go("/apps/+")
    page.get_by_label("Name", exact=True).fill("door")
    page.get_by_label("Selector").fill("role=nowhere")
    page.get_by_label("Image").fill("nginx:1.29")
    page.get_by_label("Replicas").fill("1")
    page.get_by_label("Restart").select_option("OnFailure")
    page.get_by_label("Memory limit").fill("64Mi")
    row(page, "port", 1).get_by_label("Port of the node").fill("8081")
    page.get_by_role("button", name="Add port").click()
    row(page, "port", 2).get_by_label("Port of the node").fill("8443")
    row(page, "port", 2).get_by_label("Port in the container").fill("443")
    page.get_by_role("button", name="Add variable").click()
    row(page, "variable", 1).get_by_label("Name").fill("LEVEL")
    row(page, "variable", 1).get_by_label("Value").fill("5")
    page.get_by_role("button", name="Add mount").click()
    row(page, "mount", 1).get_by_label("Name").fill("door-page")
    row(page, "mount", 1).get_by_label("Path in the container").fill("/html")
    page.get_by_role("button", name="Add mount").click()
    row(page, "mount", 2).get_by_label("From").select_option("emptyDir")
    page.get_by_role("button", name="Remove mount 2").click()
    expect(row(page, "mount", 2)).to_have_count(0)
    # Enter in a field reviews.
    page.get_by_label("Image").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_test_id("plan")).to_be_visible()
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name="door", exact=True)).to_be_visible()
    made = fleet.api.get("/v1/apps/door?specOnly=true").json()
    assert made == {
        "selector": "role=nowhere",
        "services": [
            {
                "name": "web",
                "image": "nginx:1.29",
                "ports": [
                    {"containerPort": 80, "hostPort": 8081},
                    {"containerPort": 443, "hostPort": 8443},
                ],
                "env": [{"name": "LEVEL", "value": "5"}],
                "volumeMounts": [{"name": "files", "mountPath": "/html"}],
                "resources": {"limits": {"memory": "64Mi"}},
                "restart": {"policy": "OnFailure"},
            }
        ],
        "volumes": [{"name": "files", "config": {"name": "door-page"}}],
    }
    for path in ("/v1/apps/door", "/v1/configs/door-page"):
        assert fleet.api.delete(path).status_code == 200


def editor_text(page: Page) -> str:
    lines: Any = yaml_field(page).evaluate(
        "field => [...field.querySelectorAll('.cm-line')].map((line) => line.textContent)"
    )
    return "\n".join(lines)


def test_form_and_yaml_show_the_same_and_lose_nothing(tab: Tab) -> None:
    page = tab.page
    tab.go("/apps/+")
    write_yaml(page, WRITTEN)
    switch_to(page, "Form")
    expect(page.get_by_label("Image")).to_have_value("nginx:1.28")
    expect(row(page, "mount", 1).get_by_label("From")).to_have_value("emptyDir")
    expect(page.get_by_text("Also set, in the YAML: readinessProbe")).to_be_visible()
    switch_to(page, "YAML")
    assert editor_text(page) == WRITTEN
    switch_to(page, "Form")
    page.get_by_label("Image").fill("nginx:1.29")
    page.get_by_label("Description").fill("opens: yes")
    switch_to(page, "YAML")
    after = editor_text(page)
    assert "# For the door, see issue 7" in after
    assert "image: nginx:1.29 # pinned" in after
    assert "readinessProbe:" in after
    assert 'description: "opens: yes"' in after
    # What is no app is left to the YAML.
    write_yaml(page, "name: [")
    switch_to(page, "Form")
    expect(page.get_by_text("The YAML has an error")).to_be_visible()
    switch_to(page, "YAML")
    assert editor_text(page) == "name: ["


def test_an_error_stands_at_its_field(tab: Tab) -> None:
    page = tab.page
    tab.expected = ["400", "404"]
    tab.go("/apps/+")
    for field, wrong in [
        (page.get_by_label("Selector"), "role in ("),
        (page.get_by_label("Port in the container"), "many"),
        (page.get_by_label("Image"), ""),
    ]:
        right = field.input_value()
        field.fill(wrong)
        page.get_by_role("button", name="Review").click()
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_be_focused()
        expect(page.locator(f"#{field.get_attribute('id')}-error")).to_contain_text("invalid")
        field.fill(right)
    # One that the form does not show stands above it.
    write_yaml(page, WRITTEN.replace("port: 80", "port: none"))
    switch_to(page, "Form")
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_role("alert")).to_contain_text("readinessProbe")
