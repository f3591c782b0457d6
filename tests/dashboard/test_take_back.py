"""The dashboard's view of a version that a real node agent has rolled back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.dashboard.chromium import NEEDS_CHROMIUM
from tests.dashboard.conftest import SECONDS, DashboardFleet, Tab
from tests.end_to_end.conftest import kv, wait_for
from tests.end_to_end.test_install_command import InstalledMachine, command_for, installed

pytestmark = [*NEEDS_CHROMIUM, pytest.mark.timeout(360)]
expect.set_options(timeout=SECONDS * 1000)

SCRIPT = "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.2; done\n"


@pytest.fixture
def machine(tmp_path: Path, fleet: DashboardFleet) -> Iterator[InstalledMachine]:
    """The machine of a node `talks` that fails, which other modules must not find."""
    one = InstalledMachine(tmp_path / "machine")
    yield one
    one.agent("uninstall")
    for path in ("nodes/talks", "apps/talker", "configs/program"):
        assert fleet.api.delete(f"/v1/{path}").status_code == 200


def talker(check: str) -> dict[str, Any]:
    """A host process, so that no container engine is needed."""
    probe = {"exec": {"command": ["/bin/sh", "-c", check]}, "periodSeconds": 1}
    service = {"name": "main", "programConfig": "program", "readinessProbe": probe}
    return {
        "name": "talker",
        "mode": "native",
        "selector": "role=talker",
        "services": [service],
        "progressDeadlineSeconds": 2,
    }


def test_a_version_that_was_taken_back_is_named_with_the_one_that_runs(
    tab: Tab, fleet: DashboardFleet, machine: InstalledMachine
) -> None:
    data = [kv("program.yml", "entry: run.sh"), kv("run.sh", SCRIPT)]
    fleet.put("POST", "/v1/configs", {"name": "program", "data": data})
    good = fleet.put("POST", "/v1/apps", talker("exit 0"))["version"]
    fleet.put("POST", "/v1/nodes", {"name": "talks", "labels": {"role": "talker"}})
    installed(machine.run(command_for(fleet.api, "nodes/talks")))

    def outcome() -> str:
        (app,) = fleet.api.get("/v1/nodes/talks/explain").json()["apps"]
        return str(app["outcome"])

    wait_for(lambda: outcome() == "converged", "the first version to run")
    bad = fleet.put("PUT", "/v1/apps/talker", talker("echo no database; exit 4"))["version"]
    wait_for(lambda: outcome() == "failed", "the second version to be taken back")

    message = f"v{bad} failed its readiness probe after 2 s (service main: "
    runs = f"no database); v{good} runs again"
    tab.go("/nodes/talks")
    why = tab.page.get_by_test_id("why-talker")
    expect(why).to_contain_text(message)
    expect(why).to_contain_text(runs)
    row = tab.page.get_by_role("row").filter(has=why)
    for column, version in (("Wanted", bad), ("Running", good)):
        expect(row.locator(f"[data-name={column}]")).to_have_text(version)
    expect(tab.page.get_by_role("region", name="Timeline")).to_contain_text(runs)

    tab.go("/apps/talker")
    expect(tab.page.get_by_test_id("rollout")).to_contain_text(f"0 of 1 node run version {bad}")
    failures = tab.page.get_by_test_id("failures")
    expect(failures).to_contain_text(f"talks {message}")
    expect(failures).to_contain_text(runs)
    field = tab.page.get_by_role("region", name="In the field")
    expect(field.locator(".label")).to_have_text([f"v{good} 1"])
