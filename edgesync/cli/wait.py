"""`edgesync wait`: until resources converge, are ready or are deleted."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import click
from rich.console import Console

from cloud.core.kinds import APP, NODE
from edgesync.cli.options import (
    Target,
    asks_server,
    check_selects,
    selector_option,
    targets_argument,
)
from edgesync.cli.output import in_line, note
from edgesync.cli.resources.access import found, listed
from edgesync.client.client import Client
from edgesync.client.waiting import cause_lines, progress_line

LOOK_EVERY_SECONDS = 0.5


@click.command()
@asks_server
@targets_argument()
@selector_option
@click.option(
    "--for",
    "condition",
    type=click.Choice(["converged", "ready", "deleted"]),
    default="converged",
    show_default=True,
    help="converged: nodes run the desired state; ready: nodes are online; deleted: it is gone.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=120.0,
    show_default=True,
    help="Seconds until it gives up and exits with 1.",
)
def wait(
    server: Client, *, targets: Sequence[Target], selector: str, condition: str, timeout: float
) -> None:
    """Wait until resources converge, nodes are online, or resources are deleted.

    An app has converged when every node it selects runs it; a config, secret or registry when
    every app that uses it has. Failed nodes are named with the causes.
    """
    check_selects(selector, [target.kind for target in targets])
    wait_for(server, list(_wanted(server, targets, selector)), condition, timeout)


def wait_for(server: Client, left: Sequence[Target], condition: str, timeout: float) -> None:
    """Wait for the things *left*; ClickException after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    with Console(stderr=True).status("waiting") as status:
        while True:
            checked = [(target, _CONDITIONS[condition](server, target)) for target in left]
            for target, why in checked:
                if not why:
                    click.echo(f"{target.title} {condition}")
            waiting = [(target, why) for target, why in checked if why]
            left = [target for target, _ in waiting]
            if not left:
                return
            if time.monotonic() >= deadline:
                break
            status.update("; ".join(f"{target.title}: {why}" for target, why in waiting[:3]))
            time.sleep(LOOK_EVERY_SECONDS)
    for target, why in waiting:
        note(f"{target.title}: {why}")
        if target.kind is APP and condition == "converged":
            for line in cause_lines(server.call("GET", f"{target.url}/rollout"), in_line):
                note(f"  {line}")
    raise click.ClickException(f"{len(left)} resources not {condition} after {timeout:g} s")


def _wanted(server: Client, targets: Sequence[Target], selector: str) -> Iterator[Target]:
    for target in targets:
        if target.name:
            yield target
        else:
            things = listed(server, target.kind, selector=selector)
            yield from (Target(target.kind, target.kind.name_of(thing)) for thing in things)


def _why_not_converged(server: Client, target: Target) -> str:
    """Why it has not, in a few words; empty if it has."""
    if target.kind is APP:
        return progress_line(server.call("GET", f"{target.url}/rollout"))
    if target.kind is NODE:
        explained = server.call("GET", f"{target.url}/explain")
        return "" if explained["converged"] else in_line(explained["message"])
    if not target.kind.has_revisions:
        raise click.UsageError(f"{target.kind.plural} do not converge")
    apps = server.pages(f"{target.url}/apps")
    whys = (_why_not_converged(server, Target(APP, app["name"])) for app in apps)
    return next((why for why in whys if why), "")


def _why_not_ready(server: Client, target: Target) -> str:
    if target.kind is not NODE:
        raise click.UsageError("--for ready applies to nodes only")
    answer = found(server, target.kind, target.name)
    if answer is None:
        return "not found"
    state = answer.value["state"]
    return "" if answer.value["ready"] else f"is {state['name']}: {in_line(state['reason'])}"


def _why_not_deleted(server: Client, target: Target) -> str:
    return "" if found(server, target.kind, target.name) is None else "still exists"


_CONDITIONS: Mapping[str, Callable[[Client, Target], str]] = {
    "converged": _why_not_converged,
    "ready": _why_not_ready,
    "deleted": _why_not_deleted,
}
