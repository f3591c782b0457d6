"""`edgesync history` and `edgesync undo`: revisions of a resource."""

from typing import Any

import click

from cloud.core.kinds import APP
from edgesync.cli.open_rollouts import undo_rollout
from edgesync.cli.options import (
    Target,
    asks_server,
    confirm_option,
    output_option,
    reason_option,
    target_argument,
)
from edgesync.cli.output import age, coloured, json_of, printable, show_change, show_table, yaml_of
from edgesync.cli.resources.plans import Planned, request_plan, show_plans
from edgesync.client.client import Client

REVISION = click.IntRange(1)
"""A number of a revision."""


@click.command()
@asks_server
@target_argument("has_revisions")
@click.option("--revision", type=REVISION, help="Show this revision.")
@click.option("--from", "start", type=REVISION, help="Show changes since this revision.")
@click.option("--to", "end", type=REVISION, help="Show changes up to this revision.")
@output_option("table", "json", "yaml")
def history(
    server: Client,
    *,
    target: Target,
    revision: int | None,
    start: int | None,
    end: int | None,
    output: str,
) -> None:
    """Show the revisions of an app, config, secret or registry, and what changed.

    Includes deleted resources. Secret values are never shown, only that they differ.
    """
    show_history(server, target, revision=revision, start=start, end=end, output=output)


def show_history(
    server: Client,
    target: Target,
    *,
    revision: int | None,
    start: int | None,
    end: int | None,
    output: str,
) -> None:
    """Print the revisions of *target*, one of them, or the changes between two."""
    if revision is not None and (start or end):
        raise click.UsageError("--revision excludes --from and --to")
    if revision is not None:
        _print(server.call("GET", f"{target.url}/revisions/{revision}"), output)
    elif start or end:
        ends = {"from": start, "to": end}
        query = {key: str(number) for key, number in ends.items() if number}
        difference = server.call("GET", f"{target.url}/diff", query=query)
        if output == "table":
            for line in printable(difference["text"]).splitlines():
                click.echo(coloured(line, line[:1]))
        else:
            _print(difference, output)
    else:
        _list(server.call("GET", f"{target.url}/revisions"), output)


@click.command()
@asks_server
@target_argument("has_revisions")
@click.option(
    "--to", "revision", type=REVISION, help="Revision to restore.  [default: the previous one]"
)
@click.option(
    "--dry-run", is_flag=True, help="Show what would change and which nodes are affected."
)
@confirm_option
@reason_option
def undo(server: Client, *, target: Target, revision: int | None, dry_run: bool) -> None:
    """Revert a resource to its previous or an earlier revision, even after deletion.

    The revert is a revision of its own and can be undone. While a rollout of the app has not ended,
    and without a revision, it is rolled back: each node returns to its own previous version.
    """
    undo_change(server, target, revision, dry_run=dry_run)


def undo_change(server: Client, target: Target, revision: int | None, *, dry_run: bool) -> None:
    """Revert *target* to *revision*, or to its previous one; print the plan with *dry_run*.

    Without a revision, an app whose rollout has not ended is rolled back.
    """
    is_newest = revision is None and target.kind is APP
    if is_newest and undo_rollout(server, target.name, dry_run=dry_run):
        return
    body = {"revision": revision} if revision else {}
    if dry_run:
        plan = Planned(target.title, (request_plan(server, "POST", f"{target.url}/undo", body),))
        show_plans([plan], all_of_them=True)
        return
    after = server.call("POST", f"{target.url}/undo", body=body)
    show_change("undone", target.title, f"is now version {after['version']}")


def _list(answer: Any, output: str) -> None:
    if output != "table":
        _print(answer["items"], output)
        return
    show_table(
        ["REVISION", "VERSION", "AGE", "ACTION", "BY", "REASON", ""],
        [
            [
                *(one["revision"], one["version"], age(one["time"]), one["action"]),
                *(one["actor"]["name"] or one["actor"]["kind"], one["reason"]),
                "current" if one["current"] else " ",
            ]
            for one in answer["items"]
        ],
    )


def _print(content: Any, output: str) -> None:
    click.echo(json_of(content) if output == "json" else yaml_of(content).rstrip())
