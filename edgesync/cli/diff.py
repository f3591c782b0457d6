"""`edgesync diff`: what applying manifests would change."""

from collections.abc import Sequence

import click

from edgesync.cli.hints import message_of
from edgesync.cli.options import (
    asks_server,
    documents_of,
    files_option,
    output_option,
    owner_option,
)
from edgesync.cli.output import json_of, note, progress
from edgesync.cli.resources.applying import ApplyOutcome
from edgesync.cli.resources.manifests import Document
from edgesync.cli.resources.plans import Planned, planned, show_plans
from edgesync.client.client import Client
from edgesync.client.errors import ClientError

SAME, DIFFERS, WRONG = 0, 1, 2


class _Undecided(click.ClickException):
    """The difference could not be determined."""

    exit_code = WRONG


@click.command()
@asks_server
@files_option
@owner_option
@output_option("table", "json")
def diff(server: Client, *, files: Sequence[str], owner: str | None, output: str) -> None:
    """Show what `apply` would change and which nodes it affects; nothing is changed.

    Exits with 0 if nothing would change, 1 if something would, 2 on an error.
    """
    try:
        plans = plans_of(server, [one.owned_by(owner) for one in documents_of(files)])
    except (ClientError, click.ClickException) as error:
        raise _Undecided(message_of(error)) from error
    if output == "json":
        click.echo(json_of([answer for plan in plans for answer in plan.answers]))
        for plan in plans:
            if plan.error:
                note(f"{plan.title}: {message_of(plan.error)}")
    else:
        show_plans(plans, all_of_them=False)
    if any(plan.error for plan in plans):
        raise click.exceptions.Exit(WRONG)
    if any(plan.outcome is not ApplyOutcome.UNCHANGED for plan in plans):
        raise click.exceptions.Exit(DIFFERS)


def plans_of(server: Client, documents: Sequence[Document]) -> list[Planned]:
    """The plan of each document."""
    plans = []
    with progress() as shown:
        for plan in shown.track(planned(server, documents), len(documents), description="plan"):
            plans.append(plan)
    return plans
