"""A site in the registry of kinds."""

from cloud.core.kind import DESCRIPTION, LABELS, NAME, UPDATED, Column, ResourceKind

SITE = ResourceKind(
    "Site",
    "sites",
    "/v1/sites",
    "tests.kinds.site.core:SiteSpec",
    summary="Where nodes stand.",
    example="name: north\naddress: 1 Harbour Road\n",
    columns=(NAME, Column("Address", "address"), UPDATED, DESCRIPTION, LABELS),
    has_labels=True,
    has_revisions=True,
    is_sealed=True,
    hidden=("doorCode?",),
    short="si",
)
