"""`edgesync describe`: one resource with what belongs to it."""

from collections.abc import Mapping
from typing import Any

import click

from cloud.core.kinds import BATCH, NODE
from edgesync.cli.hints import not_found
from edgesync.cli.options import Target, asks_server, target_argument
from edgesync.cli.output import age, printable, show_table, yaml_of
from edgesync.cli.resources.access import found, masked
from edgesync.client.client import Client

Json = Mapping[str, Any]

REFUSED_SHOWN = 20
"""Refused devices of a batch that are shown, at most."""


@click.command()
@asks_server
@target_argument()
def describe(server: Client, *, target: Target) -> None:
    """Show one resource in full, with the resources related to it."""
    answer = found(server, target.kind, target.name)
    if answer is None:
        raise not_found(target.title, target.url)
    click.echo(printable(yaml_of(masked(target.kind, answer.value))), nl=False)
    if target.kind.is_used_by_apps:
        _uses(server, target)
    if target.kind is NODE:
        _node(server, target)
    if target.kind is BATCH:
        _batch(server, target, answer.value)


def _uses(server: Client, target: Target) -> None:
    apps = server.pages(f"{target.url}/apps")
    click.echo("\nApps that use it:")
    show_table(
        ["NAME", "VERSION", "SELECTOR"], [[a["name"], a["version"], a["selector"]] for a in apps]
    )


def _node(server: Client, target: Target) -> None:
    apps = server.call("GET", f"{target.url}/apps")["items"]
    report = server.call("GET", f"{target.url}/stats").get("report") or {}
    running = {one.get("name"): one for one in report.get("appstats") or ()}
    core = report.get("core") or {}
    agent = [str(core[key]) for key in ("binVersion", "gitRevision") if core.get(key)]
    if agent:
        click.echo(f"\nAgent: {printable(', '.join(agent))}")
    click.echo("\nApps:")
    rows = []
    for app in apps:
        seen = running.get(app["name"], {})
        rows.append(
            [
                app["name"],
                app["version"],
                seen.get("version"),
                seen.get("status"),
                seen.get("cause"),
            ]
        )
    show_table(["NAME", "WANTED", "RUNNING", "STATUS", "CAUSE"], rows)
    deploys = server.call("GET", f"{target.url}/deploys")["items"][:5]
    click.echo("\nLast changes:")
    show_table(
        ["NUMBER", "SENT", "OUTCOME", "ENDED", "CAUSE"],
        [
            [d["number"], age(d["toldTime"]), d["outcome"], age(d["endTime"]), d["cause"]]
            for d in deploys
        ],
    )


def _batch(server: Client, target: Target, batch: Json) -> None:
    if batch.get("warning"):
        click.echo(f"\nWarning: {printable(batch['warning'])}.")
        if batch.get("enableWhitelist"):
            click.echo(f"  edgesync batch add {target.name} FINGERPRINT...")
            click.echo(f"  edgesync batch whitelist {target.name} off")
    refused = server.call("GET", f"{target.url}/refused")["items"]
    if not refused:
        return
    click.echo("\nRefused devices:")
    show_table(
        ["AGE", "FINGERPRINT", "ADDRESS", "TIMES", "REASON", "WHAT TO DO"],
        [
            [
                *(age(one["lastTime"]), one["fingerprintValue"], one["address"], one["count"]),
                *(one["message"], one["remedy"]),
            ]
            for one in refused[:REFUSED_SHOWN]
        ],
    )
    if len(refused) > REFUSED_SHOWN:
        click.echo(f"and {len(refused) - REFUSED_SHOWN} more")
