"""`edgesync explain`: why a node has not converged."""

from collections.abc import Mapping
from typing import Any

import click

from cloud.core.kinds import APP, NODE
from edgesync.cli.options import Target, asks_server, output_option, target_argument
from edgesync.cli.output import age, coloured, in_line, json_of, note, show_table, yaml_of
from edgesync.client.client import Client
from edgesync.client.waiting import progress_line

FAILED_SHOWN = 50
"""Failed nodes of an app that are listed."""

_SECRETS = {
    "sealed": "secrets are sealed to its key",
    "plain": "secrets reach it in plain text inside TLS: it has no encryption key",
    "withheld": "secrets are withheld: it has no encryption key, and has to have one",
}


@click.command()
@asks_server
@target_argument()
@click.option("--app", help="Only this app, even if not selected for the node.")
@output_option("table", "wide", "json", "yaml")
def explain(server: Client, *, target: Target, app: str | None, output: str) -> None:
    """Explain why a node or app has not converged: `explain node NAME`, `explain app NAME`.

    Of an app the failed nodes are listed, and the causes are counted.
    """
    if target.kind is APP and app is None:
        explain_app(server, target, output)
        return
    if target.kind is not NODE:
        raise click.UsageError(
            f"nodes and apps can be explained; `edgesync wait {target.title}` shows its progress"
        )
    query = {"app": app} if app else {}
    explained = server.call("GET", f"{target.url}/explain", query=query)
    if output in {"json", "yaml"}:
        click.echo(json_of(explained) if output == "json" else yaml_of(explained).rstrip())
        return
    _show(explained, wide=output == "wide")


def explain_app(server: Client, target: Target, output: str) -> None:
    """Show how far the app has come, and the nodes that failed with the reasons."""
    query = {"status": "failed", "limit": str(FAILED_SHOWN)}
    nodes = server.call("GET", f"{target.url}/nodes", query=query)
    if output in {"json", "yaml"}:
        click.echo(json_of(nodes) if output == "json" else yaml_of(nodes).rstrip())
        return
    rollout = server.call("GET", f"{target.url}/rollout")
    line = progress_line(rollout)
    if not line:
        click.echo(coloured(f"{target.name} runs on all {rollout['selected']} nodes.", "converged"))
        return
    click.echo(f"{target.name}: {line}")
    if nodes["causes"]:
        click.echo()
        for one in nodes["causes"]:
            click.echo(f"{one['nodes']} x {in_line(one['cause'])}")
        click.echo()
        show_table(
            ["NODE", "STATE", "STATUS", "VERSION", "LAST REPORT", "CAUSE"],
            [
                [
                    *(one["name"], one["state"], one["status"], one["version"]),
                    *(age(one["lastReport"]), one["cause"]),
                ]
                for one in nodes["items"]
            ],
        )
    if nodes["total"] > len(nodes["items"]):
        note(f"Showing {len(nodes['items'])} of {nodes['total']} failed nodes.")
    if rollout["pending"]:
        note(
            f"{rollout['pending']} pending: `edgesync get nodes --field-selector"
            f" status.apps.{target.name}=pending`"
        )


def _show(explained: Mapping[str, Any], *, wide: bool) -> None:
    state = explained["state"]
    word = "converged" if explained["converged"] else "pending"
    name, seen = in_line(explained["name"]), in_line(state["name"])
    if state["lastReport"]:
        since, last = age(state["since"]), age(state["lastReport"])
        click.echo(f"{name} is {coloured(seen)} for {since}, last report {last}")
    else:
        click.echo(f"{name} has never reported")
    click.echo(coloured(in_line(explained["message"]), word))
    if wide and (words := _SECRETS.get(state.get("secrets"))):
        click.echo(words)
    apps = explained["apps"]
    if not apps:
        return
    click.echo()
    times = [(title, key) for title, key in _TIMES.items() if wide]
    show_table(
        [
            "APP",
            "WANTED",
            "RUNNING",
            "STATUS",
            "OUTCOME",
            "REASON",
            *(title for title, _ in times),
        ],
        [
            [
                *(app["name"], app["wanted"], app["running"], app["status"]),
                *(app["outcome"], app["reason"]),
                *(age(app[key]) for _, key in times),
            ]
            for app in apps
        ],
    )
    behind = [app for app in apps if app["outcome"] != "converged"]
    if len(behind) > 1:  # a single one is in the message
        click.echo()
        for app in behind:
            click.echo(f"{in_line(app['name'])}: {in_line(app['message'])}")


_TIMES = {
    "WANTED FOR": "wantedTime",
    "SENT": "toldTime",
    "ACKNOWLEDGED": "acknowledgedTime",
    "LAST REPORTED": "reportedTime",
}
