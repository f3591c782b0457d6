"""`edgesync rollout`: follow, hold, hurry and end rollouts.

For apps that no policy governs, `status`, `history` and `undo` are `wait`, `history` and `undo`.
"""

import time
from collections.abc import Callable, Sequence

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cloud.core.kinds import APP, KINDS
from cloud.core.rollout import RolloutState
from edgesync.cli.completing import completed_targets
from edgesync.cli.history import REVISION, show_history, undo_change
from edgesync.cli.open_rollouts import act_on_rollout, find_rollout
from edgesync.cli.options import (
    Target,
    asks_server,
    confirm_option,
    output_option,
    reason_option,
    target_of,
)
from edgesync.cli.output import age, in_line, json_of, show_table, yaml_of
from edgesync.cli.resources.rollouts import (
    COLUMNS,
    FAILED_STATES,
    Json,
    headline,
    progress_of,
    stage_rows,
    state_words,
    wait_lines,
)
from edgesync.cli.wait import wait_for
from edgesync.client.client import Client

LOOK_EVERY_SECONDS = 0.5
WAIT_SECONDS = 120.0
"""How long `status` waits for an app that no policy governs."""

TITLES = ("STAGE", "NODES", *COLUMNS, "APPROVAL")


@click.group()
def rollout() -> None:
    """Follow and steer rollouts: `rollout status APP --watch`.

    NAME is that of an app, for its newest rollout, or of a rollout.
    """


_name_argument = click.argument(
    "words", nargs=-1, required=True, metavar="NAME", shell_complete=completed_targets
)
_target_argument = click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="NAME | KIND NAME | KIND/NAME",
    shell_complete=completed_targets,
)


@rollout.command()
@asks_server
@_name_argument
@click.option("-w", "--watch", is_flag=True, help="Show it until it has ended.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    help="Seconds until it gives up and exits with 1.  [default: 120, none with --watch]",
)
@output_option("table", "json", "yaml")
def status(
    server: Client, *, words: tuple[str, ...], watch: bool, timeout: float | None, output: str
) -> None:
    """Show how a rollout stands, and which nodes it waits for.

    Exits with 1 if it has failed, goes back or was ended; with --watch only once it has ended. For
    an app that no policy governs it waits until the app has converged.
    """
    name = _app_name(words)
    found = find_rollout(server, name)
    if found is None:
        limit = WAIT_SECONDS if timeout is None else timeout
        wait_for(server, [Target(APP, name)], "converged", limit)
        return
    if watch:
        found = _watch(server, name, found, timeout)
    elif output != "table":
        click.echo(json_of(found) if output == "json" else yaml_of(found).rstrip())
    else:
        _show(found)
    if RolloutState(found["state"]) in FAILED_STATES:
        raise click.exceptions.Exit(1)


@rollout.command()
@asks_server
@_target_argument
@click.option("--revision", type=REVISION, help="Show this revision of a resource.")
@click.option("--from", "start", type=REVISION, help="Show changes since this revision.")
@click.option("--to", "end", type=REVISION, help="Show changes up to this revision.")
@output_option("table", "json", "yaml")
def history(
    server: Client,
    *,
    words: tuple[str, ...],
    revision: int | None,
    start: int | None,
    end: int | None,
    output: str,
) -> None:
    """List the rollouts of an app, or the revisions of a resource as `edgesync history` does."""
    if _is_name(words) and not (revision or start or end):
        found = list(server.pages("/v1/rollouts", {"app": words[0]}))
        if found:
            _show_history(found, output)
            return
    target = _target(words)
    show_history(server, target, revision=revision, start=start, end=end, output=output)


@rollout.command()
@asks_server
@_target_argument
@click.option(
    "--to", "revision", type=REVISION, help="Revision to restore.  [default: the previous one]"
)
@click.option(
    "--dry-run", is_flag=True, help="Show what would change and which nodes are affected."
)
@confirm_option
@reason_option
def undo(server: Client, *, words: tuple[str, ...], revision: int | None, dry_run: bool) -> None:
    """Bring each node back to its previous version, in a rollout that has not ended.

    Otherwise, or with a revision, revert a resource as `edgesync undo` does.
    """
    undo_change(server, _target(words), revision, dry_run=dry_run)


def _action(verb: str, text: str) -> None:
    @rollout.command(verb, help=text)
    @asks_server
    @_name_argument
    @reason_option
    def act(server: Client, *, words: tuple[str, ...]) -> None:
        act_on_rollout(server, _app_name(words), verb)


_action("pause", "Admit no further nodes until the rollout is resumed.")
_action("resume", "Go on with a rollout that is paused; failed nodes have another deadline.")
_action("approve", "Approve the stage that the rollout waits to begin.")
_action("promote", "Begin the next stage now, and accept the failures so far.")
_action("abort", "End the rollout: each node keeps the version that it has.")
_action("hurry", "Skip soak times and windows from now on, but not the bound on failures.")


@rollout.command()
@asks_server
@_name_argument
@click.option("--at", "start", metavar="TIME", help="Time as RFC 3339.  [default: now]")
@reason_option
def start(server: Client, *, words: tuple[str, ...], start: str | None) -> None:
    """Begin a rollout that is scheduled, now or at another time."""
    act_on_rollout(server, _app_name(words), "start", {"startTime": start} if start else {})


def _app_name(words: Sequence[str]) -> str:
    kind, _, name = "/".join(words).rpartition("/")
    if kind and kind != "rollout" and KINDS.named(kind) is not APP:
        raise click.UsageError("only apps have a rollout: name an app, or a rollout")
    return name


def _is_name(words: Sequence[str]) -> bool:
    return len(words) == 1 and "/" not in words[0]


def _target(words: Sequence[str]) -> Target:
    """The resource; a single word is the name of an app."""
    return Target(APP, words[0]) if _is_name(words) else target_of(words, "has_revisions")


def _show(found: Json) -> None:
    click.echo(headline(found))
    click.echo()
    show_table(list(TITLES), stage_rows(found))
    waits = list(wait_lines(found))
    if waits:
        click.echo()
        for line in waits:
            click.echo(line)


def _show_history(found: Sequence[Json], output: str) -> None:
    if output != "table":
        click.echo(json_of(found) if output == "json" else yaml_of(found).rstrip())
        return
    show_table(
        ["ROLLOUT", "FROM", "TO", "POLICY", "STATE", "STAGE", "BEGAN", "ENDED", "BY", "CAUSE"],
        [
            [
                *(one["name"], one["base"], one["target"], one["policy"]),
                *(state_words(one["state"]), one["stage"], age(one["createTime"])),
                age(one["endTime"]) if one["endTime"] else "",
                *(one["actor"], one["cause"]),
            ]
            for one in reversed(found)
        ],
    )


def _watch(server: Client, name: str, found: Json, timeout: float | None) -> Json:
    """Show the rollout until it has ended; ClickException after *timeout* seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    console = Console()
    if not console.is_terminal:
        return _follow(server, name, found, deadline, _line_shower())
    with Live(_table(found), console=console) as live:
        return _follow(server, name, found, deadline, lambda one: live.update(_table(one)))


def _follow(
    server: Client,
    name: str,
    found: Json,
    deadline: float | None,
    show: Callable[[Json], object],
) -> Json:
    show(found)
    while RolloutState(found["state"]).is_open:
        if deadline is not None and time.monotonic() >= deadline:
            raise click.ClickException(f"{name} has not ended: {headline(found)}")
        time.sleep(LOOK_EVERY_SECONDS)
        found = server.call("GET", f"/v1/rollouts/{name}")
        show(found)
    return found


def _line_shower() -> Callable[[Json], object]:
    """Print a line whenever it is another one, for what is no terminal."""
    last = ""

    def show(found: Json) -> None:
        nonlocal last
        line = progress_of(found)
        if line != last:
            last = line
            click.echo(line)

    return show


def _table(found: Json) -> Group:
    table = Table(*TITLES, box=None, pad_edge=False)
    for row in stage_rows(found):
        table.add_row(*(in_line(cell) for cell in row))
    waits = "\n".join(wait_lines(found))
    return Group(Text(headline(found)), table, Text(waits, style="dim"))
