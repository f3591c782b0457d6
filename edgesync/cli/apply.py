"""`edgesync apply`: create, update and prune resources by manifests."""

from collections.abc import Sequence

import click

from cloud.core.kinds import KINDS, begins_rollouts
from edgesync.cli.delete import delete_one, deletions_planned
from edgesync.cli.diff import plans_of
from edgesync.cli.hints import message_of
from edgesync.cli.options import (
    Target,
    asks_server,
    confirm_option,
    documents_of,
    files_option,
    owner_option,
    reason_option,
)
from edgesync.cli.output import is_agreed, note, progress, show_change
from edgesync.cli.resources.access import listed
from edgesync.cli.resources.applying import Masked, write
from edgesync.cli.resources.kinds import OWNER_LABEL
from edgesync.cli.resources.manifests import Document
from edgesync.cli.resources.plans import show_plans
from edgesync.client.client import Client
from edgesync.client.errors import ApiError, ConnectionLost


@click.command()
@asks_server
@files_option
@owner_option
@click.option(
    "--prune",
    is_flag=True,
    help="Delete nodes, apps and configs of the same owner that are not in the files.",
)
@click.option("--yes", is_flag=True, help="Prune without confirmation.")
@click.option(
    "--dry-run", is_flag=True, help="Show what would change and which nodes are affected."
)
@click.option(
    "--rollout-start", metavar="TIME", help="Begin the rollouts that this causes then (RFC 3339)."
)
@click.option("--rollout-now", is_flag=True, help="Let these rollouts skip soak times and windows.")
@confirm_option
@reason_option
def apply(
    server: Client,
    *,
    files: Sequence[str],
    owner: str | None,
    prune: bool,
    yes: bool,
    dry_run: bool,
    rollout_start: str | None,
    rollout_now: bool,
) -> None:
    """Create or update the resources that manifests describe.

    Dependencies are created first. Continues after an error, and exits with 1. Secrets,
    registries, records and callbacks are never pruned, as they have no labels; nor are batches,
    whose labels are those of their nodes.
    """
    if prune and not owner:
        raise click.UsageError("--prune requires --owner")
    documents = [one.owned_by(owner) for one in documents_of(files)]
    if dry_run:
        _dry_run(server, documents, owner if prune else None)
        return
    order = {"rolloutStart": rollout_start or "", "rolloutNow": "true" if rollout_now else ""}
    given = {parameter: value for parameter, value in order.items() if value}
    failed = 0
    with progress(beside_output=True) as shown:
        for document in shown.track(documents, description="apply"):
            try:
                query = given if begins_rollouts(document.kind) else None
                outcome = write(server, document, query).outcome
            except ConnectionLost:
                raise
            except (ApiError, click.ClickException) as error:
                failed += 1
                note(_complaint(document, error))
            else:
                show_change(outcome, document.title)
    if failed:
        note(f"{failed} of {len(documents)} failed.")
        raise click.exceptions.Exit(1)
    if prune and owner:
        _prune(server, documents, owner, yes=yes)


def _dry_run(server: Client, documents: Sequence[Document], pruned_owner: str | None) -> None:
    plans = plans_of(server, documents)
    if pruned_owner:
        gone = _gone(server, documents, pruned_owner)
        plans += deletions_planned(server, [(target, "") for target in gone])
    show_plans(plans, all_of_them=True)
    if any(plan.error for plan in plans):
        raise click.exceptions.Exit(1)


def _gone(server: Client, documents: Sequence[Document], owner: str) -> list[Target]:
    """Resources of *owner* that are not in the manifests, dependents first."""
    there = {(document.kind, document.name) for document in documents}
    return [
        Target(kind, thing["name"])
        for kind in reversed([kind for kind in KINDS if kind.has_labels])
        for thing in listed(server, kind, selector=f"{OWNER_LABEL}={owner}")
        if (kind, thing["name"]) not in there
    ]


def _prune(server: Client, documents: Sequence[Document], owner: str, *, yes: bool) -> None:
    gone = _gone(server, documents, owner)
    if not gone:
        return
    for target in gone:
        note(f"not in the files: {target.title}")
    if not is_agreed(f"Delete these {len(gone)} resources of owner {owner}?", yes=yes):
        raise click.Abort
    for target in gone:
        show_change(*delete_one(server, target, "", ignore_not_found=True))


def _complaint(document: Document, error: ApiError | click.ClickException) -> str:
    """The error with the file and line of its field."""
    field = error.field if isinstance(error, Masked | ApiError) else ""
    return f"{document.place.of(field)}: {document.title}: {message_of(error)}"
