"""`edgesync events` and `edgesync watch`: recent events, and events as they happen."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from edgesync.cli.options import Target, asks_server, output_option, targets_argument
from edgesync.cli.output import in_line, note
from edgesync.client.client import Client
from edgesync.client.watching import WatchHooks

_TO_SECONDS = len("2026-01-02T03:04:05")

_types_option = click.option("--type", "types", help="Event types, like node.*,app.updated.")


@click.command()
@asks_server
@targets_argument(required=False)
@_types_option
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@output_option("table", "json")
def events(
    server: Client, *, targets: Sequence[Target], types: str | None, limit: int, output: str
) -> None:
    """List recent events, the newest last: all, of a kind, or of one resource."""
    query = {**_query(targets, types), "limit": str(limit)}
    for event in reversed(server.call("GET", "/v1/events", query=query)["items"]):
        _show(event, output)


@click.command()
@asks_server
@targets_argument(required=False)
@_types_option
@click.option("--since", metavar="ID", help="Start after the event with this ID.")
@click.option("--count", type=click.IntRange(1), help="Exit after this number of events.")
@output_option("table", "json")
def watch(
    server: Client,
    *,
    targets: Sequence[Target],
    types: str | None,
    since: str | None,
    count: int | None,
    output: str,
) -> None:
    """Stream events as they happen: all, of a kind, or of one resource. Stop with Ctrl-C.

    Reconnects when the connection is lost, and shows the events in between.
    """
    shown = 0
    try:
        for event in followed_events(server, _query(targets, types), since or ""):
            _show(event, output)
            shown += 1
            if shown == count:
                return
    except KeyboardInterrupt:
        return


def _query(targets: Sequence[Target], types: str | None) -> dict[str, str]:
    if len(targets) > 1:
        raise click.UsageError("name at most one kind or resource")
    query = {"type": types} if types else {}
    for target in targets:
        query |= {"kind": target.kind.logged_as} | ({"name": target.name} if target.name else {})
    return query


def followed_events(
    server: Client, query: Mapping[str, str], after: str
) -> Iterator[Mapping[str, Any]]:
    """Events without end; after a loss those that were missed come first."""
    hooks = WatchHooks(
        on_lost=lambda pause: note(f"Connection lost; reconnecting in {pause:.1f} s."),
        on_gap=lambda: note("Some events are no longer retained."),
    )
    return server.watch_plain(query, after=after, hooks=hooks)


def _show(event: Mapping[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(event, ensure_ascii=True))
        return
    subject = event.get("subject") or {}
    actor = (event.get("actor") or {}).get("name")
    line = (
        f"{in_line(event.get('time'))[:_TO_SECONDS]}Z  {in_line(event.get('type')):<22}"
        f"  {in_line(subject.get('kind'))}/{in_line(subject.get('name'))}"
        f"  {in_line(event.get('message'))}"
    )
    count = event.get("count", 1)
    if count != 1:
        since = in_line(event.get("firstTime"))[:_TO_SECONDS]
        line = f"{line}  ({in_line(count)} times since {since}Z)"
    click.echo(f"{line}  (by {in_line(actor)})" if actor else line)
