"""The second act of the demo: a version that fails is stopped at the canary and taken back."""

import time

import click
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cloud.core.rollout import RolloutState
from edgesync.cli.output import in_line
from edgesync.cli.resources.rollouts import COLUMNS, Json, headline, stage_rows, wait_lines
from edgesync.demo.api import DemoApi

APP, POLICY, CANARY = "mosquitto", "careful", "sim-0001"
BROKEN_IMAGE = "eclipse-mosquitto:2-broken"
DEADLINE_SECONDS = 120


def govern(api: DemoApi) -> str:
    """Make the canary and the policy; the version that the next change of the app gets."""
    labels = api.call("GET", f"/v1/nodes/{CANARY}")["labels"]
    api.call("PUT", f"/v1/nodes/{CANARY}", {"labels": {**labels, "ring": "canary"}})
    body = {
        "name": POLICY,
        "apps": {"names": [APP]},
        "stages": [{"name": "canary", "selector": "ring=canary"}, {"name": "all"}],
        "failure": {"max": 0, "action": "rollback"},
    }
    policies = api.call("GET", "/v1/rolloutpolicies")["items"]
    if any(policy["name"] == POLICY for policy in policies):
        api.call("DELETE", f"/v1/rolloutpolicies/{POLICY}")
    policy = api.call("POST", "/v1/rolloutpolicies", body)
    return str(int(policy["version"]) + 1)  # versions increase over the whole store


def break_app(api: DemoApi, version: str) -> None:
    """Give the app an image that does not work, as *version*."""
    app = api.call("GET", f"/v1/apps/{APP}")
    services = [{**service, "image": BROKEN_IMAGE} for service in app["services"]]
    after = api.call("PUT", f"/v1/apps/{APP}", {**app, "services": services})
    if after["version"] != version:
        raise click.ClickException(f"the version is {after['version']}, not {version}")


def watch_return(api: DemoApi, console: Console) -> Json:
    """Show the rollout until it has ended; ClickException unless it brought all nodes back."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    is_live = console.is_terminal
    with Live(console=console, auto_refresh=False, transient=not is_live) as live:
        while True:
            rollout: Json = api.call("GET", f"/v1/rollouts/{APP}")
            live.update(_table(rollout), refresh=True)
            if not RolloutState(rollout["state"]).is_open:
                break
            if time.monotonic() > deadline:
                raise click.ClickException(f"the rollout has not ended: {headline(rollout)}")
            time.sleep(0.2)
    if not is_live:
        console.print(_table(rollout))
    if rollout["state"] != RolloutState.ROLLED_BACK:
        raise click.ClickException(f"the rollout was not taken back: {headline(rollout)}")
    return rollout


def _table(rollout: Json) -> Group:
    titles = ["stage", "nodes", *(title.lower() for title in COLUMNS)]
    table = Table(*titles, box=box.SIMPLE)
    for row in stage_rows(rollout):
        table.add_row(*(in_line(cell) for cell in row[: len(titles)]))
    return Group(Text(headline(rollout)), table, Text("\n".join(wait_lines(rollout)), style="dim"))
