"""`edgesync audit`: read the audit log of a running server, and verify its integrity."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cloud.core.audit import Head
from cloud.core.tokens import EVERYWHERE
from cloud.errors import Unavailable
from cloud.store.log_check import check_log
from edgesync.admin.data_dir_option import data_dir_option
from edgesync.admin.database_option import chosen_database, database_option
from edgesync.cli.output import show_table
from edgesync.cli.server_options import access, client_of, server_options
from edgesync.client.client import Client

_HEAD = re.compile(r"(?P<number>[0-9]{1,18}):(?P<code>[0-9a-f]{64})")
_PAGE = 500


@click.group()
def audit() -> None:
    """Read the audit log and verify its integrity."""


@audit.command("list")
@server_options
@click.option(
    "--namespace",
    help=f"Namespace, {EVERYWHERE!r} for all entries.  [default: the token's, or the server's]",
)
@click.option("--actor", help="Name of a token, a node or a user, or a kind like administrator.")
@click.option("--action", help="Action, like app.update.")
@click.option("--kind", help="Kind of the resource, like app.")
@click.option("--name", help="Name of the resource.")
@click.option("--request-id", help="ID of the request.")
@click.option("--since", help="From this time on: RFC 3339, like 2027-01-31T12:00:00Z.")
@click.option("--until", help="Before this time.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Maximum number of entries.",
)
@click.option("--json", "as_json", is_flag=True, help="Print whole entries as JSON.")
def list_audit(
    *,
    url: str | None,
    ca: Path | None,
    token_file: Path | None,
    context_name: str | None,
    limit: int,
    as_json: bool,
    **wanted: str,
) -> None:
    """List audit entries, newest first."""
    query = {_in_query(name): value for name, value in wanted.items() if value is not None}
    with client_of(access(url, ca, token_file, context_name)) as server:
        found = _entries(server, query, limit)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    titles = ["NUMBER", "TIME", "ACTOR", "ACTION", "NAMESPACE", "NAME", "OUTCOME", "FROM"]
    show_table(titles, [_row(entry) for entry in found])


@audit.command()
@database_option
@data_dir_option("Directory of a server; it may be running, and nothing is changed.")
@click.option(
    "--head",
    "heads",
    multiple=True,
    metavar="NUMBER:CODE",
    help="A head of the log recorded earlier, which must still be in it. Can be repeated.",
)
@click.option(
    "--known-cut",
    "known_cuts",
    type=int,
    multiple=True,
    metavar="NUMBER",
    help="Number of an expected log.cut entry, as after a restored backup. Can be repeated.",
)
def verify(
    *, data_dir: Path, database: str, heads: tuple[str, ...], known_cuts: tuple[int, ...]
) -> None:
    """Verify that no entry was altered; else name the first that was, and exit with 1."""
    noted = [_head(text) for text in heads]
    try:
        kept = chosen_database(data_dir, database)
        verdict = check_log(kept, data_dir, noted=noted, known_cuts=frozenset(known_cuts))
    except Unavailable as error:
        raise click.ClickException(error.reason) from error
    if verdict.broken:
        raise click.ClickException(
            f"entry {verdict.broken}: {verdict.reason};"
            f" the {verdict.checked} entries before it are intact"
        )
    click.echo(f"{verdict.checked} entries verified.")
    click.echo(f"The log ends at {verdict.head.number}:{verdict.head.code}")


def _entries(server: Client, query: Mapping[str, str], limit: int) -> list[dict[str, Any]]:
    """As many entries as there are, *limit* at most."""
    found: list[dict[str, Any]] = []
    place = ""
    while len(found) < limit:
        page = {"limit": str(min(limit - len(found), _PAGE)), "continue": place}
        answer = server.call("GET", "/v1/audit", query={**query, **page})
        found += answer["items"]
        place = answer["listOptions"]["continue"]
        if not place:
            break
    return found


def _row(entry: Mapping[str, Any]) -> list[str]:
    actor = entry["actor"]
    named = "/".join(part for part in (actor["namespace"], actor["name"]) if part)
    return [
        str(entry["number"]),
        entry["time"],
        f"{actor['kind']} {named}".strip(),
        entry["action"],
        entry["namespace"],
        entry["name"],
        entry["outcome"],
        entry["address"],
    ]


def _in_query(option: str) -> str:
    return "requestId" if option == "request_id" else option


def _head(text: str) -> Head:
    found = _HEAD.fullmatch(text)
    if not found:
        raise click.UsageError(f"--head: {text!r} is not NUMBER:CODE, as verify prints it")
    return Head(int(found["number"]), found["code"])
