"""Apply one document: the requests that create or update its resource, and their outcome.

With `dryRun` in the query the same requests change nothing and return the plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import click

from edgesync.cli.resources.access import found, has_masked, seen_before, unmasked
from edgesync.cli.resources.manifests import Document
from edgesync.client.client import Client

_PASSING = frozenset({"ready", "state"})
"""Fields that change without a request."""


class Masked(click.ClickException):
    """The *field* of a document is masked, and the server has no value for it."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} is masked, and the server has no value for it: put it in")
        self.field = field


class ApplyOutcome(StrEnum):
    """The outcome for a thing."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome for a document, and the *answers* of the calls that made it so."""

    outcome: ApplyOutcome
    answers: tuple[Any, ...]


def write(server: Client, document: Document, query: Mapping[str, str] | None = None) -> Written:
    """Create the resource, or change it where it differs; raises ApiError or Masked."""
    before = _before(server, document)
    ready = _ready(document, before)
    answers = []
    if before is None:
        calls = [("POST", document.kind.collection(ready.body), ready.post_body)]
    else:
        calls = _changes(ready)
    for method, path, body in calls:
        answers.append(server.within(document.namespace).call(method, path, body=body, query=query))
    if before is None:
        return Written(ApplyOutcome.CREATED, tuple(answers))
    is_same = _comparable(before, before) == _comparable(answers[-1], before)
    return Written(ApplyOutcome.UNCHANGED if is_same else ApplyOutcome.CHANGED, tuple(answers))


def _changes(document: Document) -> list[tuple[str, str, dict[str, Any]]]:
    body = document.put_body
    # Some fields are changed by a call of their own, which with the same value changes nothing.
    calls = [
        ("POST", f"{document.url}/{action}", {field: body.pop(field)})
        for field, action in document.kind.replaced_by
        if field in body
    ]
    return [*calls, ("PUT", document.url, body)]


def _before(server: Client, document: Document) -> Mapping[str, Any] | None:
    kind, name, namespace = document.kind, document.name, document.namespace
    if has_masked(kind, document.body):
        answer = found(server, kind, name, namespace=namespace)
        return answer.value if answer else None
    return seen_before(server, kind, name, namespace=namespace)


def _ready(document: Document, before: Mapping[str, Any] | None) -> Document:
    """The document with values in the place of stars."""
    try:
        body = unmasked(document.kind, document.body, before)
    except ValueError as error:
        raise Masked(str(error)) from error
    return Document(document.kind, body, document.namespace, document.place)


def _comparable(thing: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of *thing* that are in *fields* and do not change by themselves."""
    return {key: thing.get(key) for key in fields if key not in _PASSING and key != "data"}
