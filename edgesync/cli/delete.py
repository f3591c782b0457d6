"""`edgesync delete`: things by name, by their labels, or those that manifests describe."""

from collections.abc import Sequence

import click

from cloud.core.kinds import KINDS, NODE
from cloud.errors import CallbackInUse, HasRecords, InUse
from edgesync.cli.hints import message_of
from edgesync.cli.options import (
    Target,
    asks_server,
    check_selects,
    confirm_option,
    documents_of,
    reason_option,
    selector_option,
    targets_argument,
)
from edgesync.cli.output import is_agreed, note, show_change
from edgesync.cli.resources.access import listed
from edgesync.cli.resources.applying import ApplyOutcome
from edgesync.cli.resources.plans import Planned, request_plan, show_plans
from edgesync.client.client import Client
from edgesync.client.errors import ApiError, NotFoundError

_IN_USE = frozenset({InUse.code, HasRecords.code, CallbackInUse.code})


@click.command()
@asks_server
@targets_argument(required=False)
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    metavar="FILE|DIR|-",
    help="Delete what these manifests describe.",
)
@selector_option
@click.option("--ignore-not-found", is_flag=True, help="Do not fail for missing resources.")
@click.option("--yes", is_flag=True, help="Delete without confirmation.")
@click.option(
    "--dry-run", is_flag=True, help="Show what would be deleted and which nodes are affected."
)
@confirm_option
@reason_option
def delete(
    server: Client,
    *,
    targets: Sequence[Target],
    files: Sequence[str],
    selector: str,
    ignore_not_found: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Delete resources, dependents first. Continues after an error, and exits with 1.

    Asks before deleting what -l selects. A deleted node loses access at once.
    """
    found = _found(server, targets, files, selector)
    if dry_run:
        plans = deletions_planned(server, found)
        show_plans(plans, all_of_them=True)
        if any(plan.error for plan in plans):
            raise click.exceptions.Exit(1)
        return
    if selector and found:
        names = ", ".join(target.title for target, _ in found[:10])
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        if not is_agreed(f"Delete {names}{more}?", yes=yes):
            raise click.Abort
    failed = False
    for target, namespace in found:
        try:
            show_change(*delete_one(server, target, namespace, ignore_not_found=ignore_not_found))
        except ApiError as refusal:
            failed = True
            note(f"{target.title}: {message_of(refusal)}")
    if failed:
        raise click.exceptions.Exit(1)


def deletions_planned(server: Client, found: Sequence[tuple[Target, str]]) -> list[Planned]:
    """Dry run of deleting these, each in its namespace and on its own."""
    plans: list[Planned] = []
    for target, namespace in found:
        try:
            answer = request_plan(server, "DELETE", target.url, namespace=namespace)
        except ApiError as refusal:
            if refusal.code in _IN_USE and plans:
                waits = "once it is no longer in use"
                plans.append(Planned(target.title, waits=waits, expected=ApplyOutcome.DELETED))
            else:
                plans.append(Planned(target.title, error=refusal))
        else:
            plans.append(Planned(target.title, (answer,)))
    return plans


def delete_one(
    server: Client, target: Target, namespace: str, *, ignore_not_found: bool
) -> tuple[ApplyOutcome, str, str]:
    """Delete a thing; what became of it, and of which."""
    try:
        server.within(namespace).call("DELETE", target.url)
    except NotFoundError:
        if not ignore_not_found:
            raise
        return ApplyOutcome.ABSENT, target.title, ""
    return ApplyOutcome.DELETED, target.title, "access revoked" if target.kind is NODE else ""


def _found(
    server: Client, targets: Sequence[Target], files: Sequence[str], selector: str
) -> list[tuple[Target, str]]:
    """The resources to delete and their namespaces, dependents first."""
    if bool(files) == bool(targets):
        raise click.UsageError("name what to delete: KIND NAME, KIND -l SELECTOR, or -f FILE")
    if files and selector:
        raise click.UsageError("-l requires a kind and excludes -f")
    check_selects(selector, [target.kind for target in targets])
    found: list[tuple[Target, str]] = []
    for document in documents_of(files) if files else ():
        if document.kind.is_single:
            note(f"{document.title}: cannot be deleted; apply an empty one instead")
        else:
            found.append((Target(document.kind, document.name), document.namespace))
    for target in targets:
        if target.kind.is_single:
            raise click.UsageError(f"{target.kind.plural} cannot be deleted; apply an empty one")
        if target.name and selector:
            raise click.UsageError("names and -l exclude each other")
        if target.name:
            found.append((target, ""))
        elif selector:
            things = listed(server, target.kind, selector=selector)
            found += [(Target(target.kind, thing["name"]), "") for thing in things]
        else:
            raise click.UsageError(
                f"name the {target.kind.plural} to delete, or select them with -l"
            )
    return sorted(found, key=lambda one: -KINDS.index(one[0].kind))
