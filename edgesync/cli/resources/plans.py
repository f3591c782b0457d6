"""Dry run of manifests: the server plans each document, and the plans are summed up here.

Nothing is kept meanwhile, so what one document would make is not there for the next one.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from cloud.core.app import AppSpec, uses_of
from cloud.core.decoding import convert
from cloud.core.kinds import APP, GUARD, KINDS, ResourceKind
from edgesync.cli.hints import message_of
from edgesync.cli.output import coloured, in_line, note, printable, show_change, size
from edgesync.cli.resources.access import seen_before
from edgesync.cli.resources.applying import ApplyOutcome, write
from edgesync.cli.resources.manifests import Document
from edgesync.client.client import Client
from edgesync.client.errors import ApiError, ConnectionLost, NotFoundError

DRY_RUN = {"dryRun": "true"}

Json = Mapping[str, Any]

_OUTCOMES = {
    "create": ApplyOutcome.CREATED,
    "update": ApplyOutcome.CHANGED,
    "delete": ApplyOutcome.DELETED,
}


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of one thing: *answers* of the server, or its refusal (*error*).

    Where the server can plan it only once something else of the set is done, *waits* names that,
    and *expected* what it comes to then.
    """

    title: str
    answers: tuple[Json, ...] = ()
    error: ApiError | click.ClickException | None = None
    waits: str = ""
    expected: ApplyOutcome = ApplyOutcome.UNCHANGED

    @property
    def outcome(self) -> ApplyOutcome:
        """The outcome for the thing."""
        if self.waits:
            return self.expected
        actions = (_OUTCOMES.get(answer["action"]) for answer in self.answers)
        return next((one for one in actions if one), ApplyOutcome.UNCHANGED)

    @property
    def is_guarded(self) -> bool:
        """Return whether a guard would refuse it unless it is confirmed."""
        return any(answer["confirm"] for answer in self.answers)


def request_plan(
    server: Client, method: str, path: str, body: Any = None, *, namespace: str = ""
) -> Json:
    """The plan of that call."""
    check_dry_run(server)
    answer: Json = server.within(namespace).call(method, path, body=body, query=DRY_RUN)
    return answer


def show_gains(plan: Json) -> None:
    """Print which apps nodes would gain and lose by *plan*."""
    click.echo(printable(plan["message"]))
    for app in plan["apps"]:
        verb = "gain" if app["before"] is None else "lose" if app["after"] is None else "update"
        click.echo(f"  {app['nodes']} nodes {verb} app {in_line(app['name'])}")
    for node in plan["gains"]:
        signed = [f"+{name}" for name in node["gained"]] + [f"-{name}" for name in node["lost"]]
        click.echo(f"  node {node['name']}: {in_line(' '.join(signed))}")
    left = plan["nodes"]["touched"] - len(plan["gains"])
    if plan["gains"] and left > 0:
        click.echo(f"  and {left} more nodes")


def check_dry_run(server: Client) -> None:
    """ClickException for a server that would apply a call with `dryRun`: an older one."""
    try:
        server.call("GET", GUARD.path)
    except NotFoundError as refusal:
        raise click.ClickException(
            "this server is too old for a dry run; nothing was sent"
        ) from refusal


def planned(server: Client, documents: Sequence[Document]) -> Iterator[Planned]:
    """The plan of each document; ConnectionLost if there is no server."""
    check_dry_run(server)
    made: set[tuple[ResourceKind, str]] = set()
    for document in documents:
        try:
            answers = write(server, document, DRY_RUN).answers
        except ConnectionLost:
            raise
        except (ApiError, click.ClickException) as error:
            needed = [
                f"{kind.word}/{name}" for kind, name in _needs(document) if (kind, name) in made
            ]
            if needed and isinstance(error, ApiError):
                made.add((document.kind, document.name))
                waits = f"once there is {' and '.join(needed)}"
                yield Planned(document.title, waits=waits, expected=_expected(server, document))
            else:
                yield Planned(document.title, error=error)
            continue
        plan = Planned(document.title, answers)
        if plan.outcome is ApplyOutcome.CREATED:
            made.add((document.kind, document.name))
        yield plan


def _expected(server: Client, document: Document) -> ApplyOutcome:
    kind, name = document.kind, document.name
    try:
        before = seen_before(server, kind, name, namespace=document.namespace)
    except ApiError:  # its batch is not there either
        before = None
    return ApplyOutcome.CREATED if before is None else ApplyOutcome.CHANGED


def _needs(document: Document) -> Iterator[tuple[ResourceKind, str]]:
    """The things that the document's thing requires."""
    body = document.body
    if document.kind is APP:
        spec = {key: body[key] for key in body if key != "name"}
        for use in uses_of(convert(spec, AppSpec)):
            yield use.kind, use.name
    for field, word in document.kind.references:
        kind = KINDS.named(word)
        named = body.get(field)
        for one in named if isinstance(named, list) else [named]:
            if kind and one:
                yield kind, str(one)


def show_plans(plans: Sequence[Planned], *, all_of_them: bool) -> None:
    """Print what would change, and *all_of_them* what would not; then the sum."""
    known = [plan for plan in plans if not plan.error]
    shown = [plan for plan in known if all_of_them or plan.outcome is not ApplyOutcome.UNCHANGED]
    for plan in shown:
        _show(plan)
    for plan in plans:
        if plan.error:
            note(f"{plan.title}: {message_of(plan.error)}")
    if shown:
        click.echo()
    _show_sum(known)


def _show(plan: Planned) -> None:
    """Print what would become of one thing, change by change."""
    show_change(plan.outcome, plan.title, plan.waits)
    _show_changes(plan)
    for answer in plan.answers:
        for rollout in answer.get("rollouts") or ():
            click.echo(f"    {_rollout_line(rollout)}")


def _show_changes(plan: Planned) -> None:
    if plan.outcome is not ApplyOutcome.CHANGED:
        return
    for answer in plan.answers:
        for change in answer["changes"]:
            for line in _lines(change):
                click.echo(f"    {line}")


def _rollout_line(rollout: Json) -> str:
    """A rollout that would begin: its stages, and the first nodes."""
    stages = ", ".join(f"{in_line(one['name'])} ({one['nodes']})" for one in rollout["stages"])
    first = ", ".join(map(in_line, rollout["first"])) or "none"
    return (
        f"rollout of {in_line(rollout['app'])} by policy {in_line(rollout['policy'])}:"
        f" stages {stages}; first nodes: {first}"
    )


def _show_sum(plans: Sequence[Planned]) -> None:
    """Print what all of it comes to."""
    counts = {outcome: sum(plan.outcome is outcome for plan in plans) for outcome in ApplyOutcome}
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    click.echo(f"{summary or 'nothing'}: {_sum_of(plans)}.")
    if any(plan.waits for plan in plans):
        click.echo("The nodes affected by a change that depends on another one are not known yet.")
    if any(plan.is_guarded for plan in plans):
        click.echo("The guard refuses this without --confirm.")
    click.echo("Nothing was changed.")


def _sum_of(plans: Sequence[Planned]) -> str:
    """Nodes touched and offline, apps and bytes of all *plans*, in words."""
    answers = [answer for plan in plans for answer in plan.answers]
    nodes = [answer["nodes"] for answer in answers if answer.get("nodes")]
    touched = [one for one in nodes if one["touched"]]
    if not touched:
        return "no nodes affected"
    total = max(one["total"] for one in nodes)
    apps = sorted({app["name"] for answer in answers for app in answer["apps"]})
    parts = [
        f"{_union(touched, 'touched', total)} of {total} nodes affected",
        f"{_span([one['offline'] for one in touched], total)} of them offline now",
        f"apps {', '.join(map(in_line, apps))}" if apps else "no app changes",
        f"{size(sum(answer['bytes'] for answer in answers))} to send",
    ]
    return ", ".join(parts)


def _union(nodes: Sequence[Json], key: str, total: int) -> str:
    """How many nodes that are together: exactly where all names are known, else from and to."""
    names = {name for one in nodes for name in one["names"]}
    if all(len(one["names"]) == one[key] for one in nodes):
        return str(len(names))
    return _span([one[key] for one in nodes], total)


def _span(counts: Sequence[int], total: int) -> str:
    least, most = max(counts), min(sum(counts), total)
    return str(least) if least == most else f"{least} to {most}"


def _lines(change: Json) -> Iterator[str]:
    """One change: its path, what was there and what will be."""
    path, before, after = change["path"], change.get("before"), change.get("after")
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        yield f"{in_line(path)}:"
        for line in _compared(before.splitlines(), after.splitlines()):
            yield f"  {coloured(printable(line), line[:1])}"
        return
    yield f"{in_line(path)}: {_value(before)} -> {_value(after)}"


def _compared(before: Sequence[str], after: Sequence[str]) -> Iterable[str]:
    """The differences between texts, with two lines around each."""
    return list(difflib.unified_diff(before, after, n=2, lineterm=""))[2:]


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    return in_line(value) if isinstance(value, str) and value else in_line(repr(value))
