"""`edgesync events` and `edgesync watch`: recent events, and events as they happen."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from edgesync.cli.api.client import ApiServer, ConnectionLost, RequestRefused
from edgesync.cli.api.event_stream import StreamedEvent, events_in
from edgesync.cli.options import Target, asks_server, output_option, targets_argument
from edgesync.cli.output import in_line, note

SILENCE_SECONDS = 45
"""The server sends a keep-alive every 15 s; three missed ones mean a lost connection."""

LONGEST_PAUSE_SECONDS = 15
_PASSING = frozenset({429, 503})
"""Statuses of a server that may answer later."""

_GAP = "gap"
_TO_SECONDS = len("2026-01-02T03:04:05")

_types_option = click.option("--type", "types", help="Event types, like node.*,app.updated.")


@click.command()
@asks_server
@targets_argument(required=False)
@_types_option
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@output_option("table", "json")
def events(
    server: ApiServer, *, targets: Sequence[Target], types: str | None, limit: int, output: str
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
    server: ApiServer,
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
            _show(json.loads(event.data), output)
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
    server: ApiServer, query: Mapping[str, str], after: str
) -> Iterator[StreamedEvent]:
    """Events without end; after a loss those that were missed come first."""
    failures, was_there = 0, False
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        try:
            with server.stream(
                "/v1/events", query=query, headers=headers, silence=SILENCE_SECONDS
            ) as chunks:
                was_there, failures = True, 0
                for event in events_in(chunks):
                    after = event.id or after
                    if event.type == _GAP:
                        note("Some events are no longer retained.")
                    elif event.data:
                        yield event
        except ConnectionLost:
            if not was_there:
                raise
        except RequestRefused as refusal:
            if not was_there or refusal.status not in _PASSING:
                raise
        pause = min(0.5 * 2**failures, LONGEST_PAUSE_SECONDS)
        failures += 1
        note(f"Connection lost; reconnecting in {pause:g} s.")
        time.sleep(pause)


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
