"""Namespaces: they are listed like a kind, though none is described by a manifest."""

from collections.abc import Sequence

from cloud.core.kind import NAME, Column, ColumnForm, ResourceKind
from edgesync.client.client import Client

NAMESPACE = ResourceKind(
    "Namespace",
    "namespaces",
    "/v1/namespaces",
    spec_place="",
    columns=(
        NAME,
        Column("Nodes", "nodes.total", ColumnForm.NUMBER),
        Column("Online", "nodes.online", ColumnForm.NUMBER),
        Column("Apps", "apps", ColumnForm.NUMBER),
        Column("Batches", "batches", ColumnForm.NUMBER),
        Column("Stale", "nodes.stale", ColumnForm.NUMBER, is_wide=True),
        Column("Offline", "nodes.offline", ColumnForm.NUMBER, is_wide=True),
        Column("Never", "nodes.never", ColumnForm.NUMBER, is_wide=True),
    ),
    has_events=False,
    is_whole_in_lists=True,
    short="ns",
)
"""The kind of namespaces on the command line; it is in no registry, as none can be created."""


def namespace_names(server: Client) -> Sequence[str]:
    """The names of the namespaces that the token may see."""
    return [one["name"] for one in server.pages(NAMESPACE.path)]
