"""The kinds of `cloud.core.kinds` as words of the command line."""

import click

from cloud.core.kinds import KINDS, ResourceKind

OWNER_LABEL = "edgesync.io/owner"
"""Label that `apply --owner NAME` sets, and by which `--prune` selects."""


def kind_words(needs: str = "") -> list[str]:
    """The names of kinds with the attribute *needs*, if one is named."""
    return [kind.plural for kind in KINDS if not needs or getattr(kind, needs)]


def url_of(kind: ResourceKind, name: str) -> str:
    """Path of the thing *name*; UsageError where its kind is called otherwise."""
    try:
        return kind.url(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
