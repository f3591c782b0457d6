"""Rows of the table of routes: revisions of apps, configs, secrets and registries."""

from collections.abc import Sequence
from typing import Any

from cloud.core.revisions import RevisedKind
from cloud.rest.described import COMPARED, PAGED, Body, Described
from cloud.rest.revision_shapes import DiffAnswer, RevisionAnswer, RevisionSummary
from cloud.rest.revisions import Undo, comparer, lister, reader, undoer
from cloud.rest.route import ApiRoute
from cloud.rest.shapes import AppAnswer, ConfigAnswer, Listed, RegistryAnswer, SecretAnswer


def _routes(words: str, kind: RevisedKind, noun: str, answer: Any) -> Sequence[ApiRoute]:
    """Whoever may read may see what a thing was: no secret value is shown, of secrets neither."""
    path = f"/v1/{words}/{{name}}"
    return (
        ApiRoute(
            "GET",
            f"{path}/revisions",
            lister(kind),
            Described(f"Revisions of {noun}", Listed[RevisionSummary], query=PAGED),
        ),
        ApiRoute(
            "GET",
            f"{path}/revisions/{{revision}}",
            reader(kind),
            Described(f"One revision of {noun}", RevisionAnswer),
        ),
        ApiRoute(
            "GET",
            f"{path}/diff",
            comparer(kind),
            Described(f"What differs between two revisions of {noun}", DiffAnswer, query=COMPARED),
        ),
        ApiRoute(
            "POST",
            f"{path}/undo",
            undoer(kind),
            Described(f"Take {noun} back to a revision", answer, Body(Undo, may_lack=True)),
        ),
    )


REVISION_ROUTES: Sequence[ApiRoute] = (
    *_routes("apps", RevisedKind.APP, "an app", AppAnswer),
    *_routes("configs", RevisedKind.CONFIG, "a config", ConfigAnswer),
    *_routes("secrets", RevisedKind.SECRET, "a secret", SecretAnswer),
    *_routes("registries", RevisedKind.REGISTRY, "a registry", RegistryAnswer),
)
