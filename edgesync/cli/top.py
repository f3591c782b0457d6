"""`edgesync top`: overview of the fleet, and usage of its nodes."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import click

from cloud.core.kinds import APP, NODE
from edgesync.cli.options import asks_server, fields_option, selector_option
from edgesync.cli.output import age, coloured, in_line, note, show_table, size
from edgesync.client.client import Client
from edgesync.client.waiting import cause_lines

_ORDERS = ("cpu", "memory", "name")


@click.group(invoke_without_command=True)
@click.pass_context
def top(context: click.Context) -> None:
    """Show an overview of the fleet (`top fleet`) or the usage of its nodes (`top nodes`)."""
    if context.invoked_subcommand is None:
        with fleet.make_context("fleet", [], parent=context) as own:  # it reads the environment
            fleet.invoke(own)


@top.command()
@asks_server
def fleet(server: Client) -> None:
    """Show nodes by state, the last rollout, expiring certificates and the status of apps."""
    overview = server.call("GET", "/v1/overview")
    nodes = overview["nodes"]
    states = ", ".join(
        f"{nodes[state]} {coloured(state)}" for state in ("online", "stale", "offline", "never")
    )
    click.echo(f"{nodes['total']} nodes: {states}; {overview['waiting']} pending updates")
    change = overview["lastChange"]
    if change:
        click.echo(
            f"Last change: {in_line(change['app'])} is version {change['version']} for"
            f" {age(change['time'])}: {change['converged']} of {change['selected']} converged,"
            f" {change['failed']} failed, {change['pending']} pending"
        )
    ends, activations = overview["certificates"], overview["activations"]
    click.echo(
        f"Certificates: {ends['ended']} expired, {ends['day']} expire within a day,"
        f" {ends['week']} within a week, {ends['month']} within a month"
    )
    click.echo(
        f"Activations: {activations['hour']} in the last hour, {activations['day']} in the last day"
    )
    click.echo(f"Pending callbacks: {overview['deliveries']}")
    if overview["apps"]:
        click.echo()
        show_table(
            ["APP", "VERSION", "NODES", "RUNNING", "FAILED", "PENDING", "REPORTED VERSIONS"],
            [_progress_row(app) for app in overview["apps"]],
        )
    for app in overview["apps"]:
        if app["failed"]:
            click.echo(f"\n{in_line(app['name'])} failed on {app['failed']}:")
            for line in cause_lines(server.call("GET", f"{APP.url(app['name'])}/rollout"), in_line):
                click.echo(f"  {line}")


def _progress_row(app: Mapping[str, Any]) -> list[Any]:
    counts = (app["selected"], app["running"], app["failed"], app["pending"])
    versions = ", ".join(f"{one['version']} on {one['nodes']}" for one in app["versions"])
    return [app["name"], app["version"], *counts, versions]


@top.command()
@asks_server
@selector_option
@fields_option
@click.option("--sort", type=click.Choice(_ORDERS), default="cpu", show_default=True)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Maximum number of nodes.",
)
def nodes(server: Client, *, selector: str, fields: str, sort: str, limit: int) -> None:
    """Show CPU and memory of nodes from their last usage points, highest first."""
    query = {"selector": selector, "fieldSelector": fields, "include": "status"}
    query |= {"sort": sort if sort == "name" else f"-{sort}"}
    found = list(islice(server.pages(NODE.path, query), limit + 1))
    if len(found) > limit:
        note(f"Showing the first {limit} nodes (--limit, -l).")
    show_table(
        ["NAME", "STATE", "CPU", "CPU%", "MEMORY", "MEMORY%", "APPS"],
        [_row(node) for node in found[:limit]],
    )


def _row(node: Mapping[str, Any]) -> list[Any]:
    usage, apps = node["status"]["usage"], node["status"]["apps"]
    cpu, memory = usage["cpu"], usage["memory"]
    return [
        node["name"],
        node["state"]["name"],
        None if cpu is None else f"{cpu:.2f}",
        _shown(usage["cpuPercent"]),
        None if memory is None else size(memory),
        _shown(usage["memoryPercent"]),
        f"{apps['running']}/{apps['wanted']}",
    ]


def _shown(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


top.add_command(nodes, "node")
