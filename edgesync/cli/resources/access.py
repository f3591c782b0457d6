"""Read resources from the REST API, and mask or unmask their secret values."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from cloud.core.kinds import KINDS, ResourceKind
from cloud.core.mask import MASK
from edgesync.cli.output import note
from edgesync.cli.resources.kinds import url_of
from edgesync.client.client import Client
from edgesync.client.errors import InvalidCall, NotFoundError, is_unknown_parameter
from edgesync.client.resources import TaggedResource

Json = Mapping[str, Any]


def found(
    server: Client, kind: ResourceKind, name: str, *, namespace: str = ""
) -> TaggedResource[Json] | None:
    """The thing *name* with its entity tag; None if there is none."""
    url_of(kind, name)
    try:
        return server.within(namespace).kind(kind).tagged(name)
    except NotFoundError:
        return None


def seen_before(
    server: Client, kind: ResourceKind, name: str, *, namespace: str = ""
) -> Json | None:
    """The resource *name* for comparison; None if it does not exist.

    What has a version is read without its values if the audit log records each read: they are not
    needed.
    """
    if kind.is_resource and kind.is_read_logged:
        query = {"fieldSelector": f"metadata.name={name}"}
        items = server.within(namespace).call("GET", kind.path, query=query)["items"]
        return items[0] if items else None
    answer = found(server, kind, name, namespace=namespace)
    return answer.value if answer else None


def listed(
    server: Client,
    kind: ResourceKind,
    *,
    selector: str = "",
    batch: str = "",
    fields: str = "",
    with_status: bool = False,
) -> Iterator[Json]:
    """All resources of a *kind*, as in lists; records of one *batch*, or of each.

    Labels by *selector*, fields by the field selector *fields*, where the kind has them;
    *with_status* the `status` of those whose lists have one.
    """
    parent = KINDS.named(kind.parent) if kind.parent else None
    if kind.is_single:
        yield server.call("GET", kind.path)
    elif parent:
        above = [batch] if batch else [one["name"] for one in listed(server, parent)]
        for name in above:
            yield from server.kind(kind, name).list()
    else:
        list_all = partial(server.kind(kind).list, selector=selector, field_selector=fields)
        try:
            yield from list_all(include="status" if with_status and kind.has_status else "")
        except InvalidCall as refusal:  # of the first page
            if not with_status or not is_unknown_parameter(refusal.refusal):
                raise
            note(f"This server is older than the command: it lists {kind.plural} without a status.")
            yield from list_all()


def matching(
    server: Client, kind: ResourceKind, pattern: str, *, with_status: bool = False
) -> Iterator[Json]:
    """The resources of a *kind* whose names are like *pattern*, in which `*` is any text."""
    fields = "" if kind.is_numbered else f"metadata.name={pattern}"
    things = listed(server, kind, fields=fields, with_status=with_status)
    return (thing for thing in things if fnmatchcase(kind.name_of(thing), pattern))


def one_of(
    server: Client, kind: ResourceKind, name: str, *, with_status: bool = False
) -> Json | None:
    """The thing *name*, *with_status* where lists have one; None if there is none."""
    if with_status and kind.has_status:
        things = listed(server, kind, fields=f"metadata.name={name}", with_status=True)
        return next((thing for thing in things if thing["name"] == name), None)
    answer = found(server, kind, name)
    return answer.value if answer else None


def masked(kind: ResourceKind, shown: Json) -> dict[str, Any]:
    """The resource with the values of secrets, tokens and headers masked."""
    after = dict(shown)
    for field in kind.hidden_values:
        if field in after:
            after[field] = dict.fromkeys(after[field], MASK)
    for field in kind.hidden_fields:
        if after.get(field):
            after[field] = MASK
    return after


def has_masked(kind: ResourceKind, body: Json) -> bool:
    """Return whether a value in *body* is masked."""
    values = (one for field in kind.hidden_values for one in (body.get(field) or {}).values())
    return MASK in values or any(body.get(field) == MASK for field in kind.hidden_fields)


def unmasked(kind: ResourceKind, body: Json, current: Json | None) -> dict[str, Any]:
    """*body* with masked values replaced by those of *current*; ValueError if it has none.

    Where it is the API that keeps what is masked, that stays, or is left out.
    """
    after = dict(body)
    for field in kind.hidden_values:
        values = after.get(field) or {}
        known = (current or {}).get(field) or {}
        for key, value in values.items():
            if value == MASK and key not in known:
                raise ValueError(f"{field}.{key}")
        after[field] = {k: known[k] if v == MASK else v for k, v in values.items()}
    for field in kind.hidden_fields:
        if after.get(field) == MASK:
            if current is None:
                raise ValueError(field)
            if kind.is_partial or field in dict(kind.replaced_by):
                del after[field]
    return after
