"""`edgesync explain`: why a node has not converged."""

from collections.abc import Mapping
from typing import Any

import click

from cloud.core.kinds import NODE
from edgesync.cli.api.client import ApiServer
from edgesync.cli.options import Target, asks_server, output_option, target_argument
from edgesync.cli.output import age, coloured, in_line, json_of, show_table, yaml_of


@click.command()
@asks_server
@target_argument()
@click.option("--app", help="Only this app, even if not selected for the node.")
@output_option("table", "wide", "json", "yaml")
def explain(server: ApiServer, *, target: Target, app: str | None, output: str) -> None:
    """Explain why a node has not converged: `explain node NAME`."""
    if target.kind is not NODE:
        raise click.UsageError(
            f"only nodes can be explained; `edgesync wait {target.title}` shows its progress"
        )
    query = {"app": app} if app else {}
    explained = server.call("GET", f"{target.url}/explain", query=query)
    if output in {"json", "yaml"}:
        click.echo(json_of(explained) if output == "json" else yaml_of(explained).rstrip())
        return
    _show(explained, wide=output == "wide")


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
