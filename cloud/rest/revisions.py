"""Handlers: what things were, what differs, and back.

Each is made for one kind of thing; nothing here shows a secret value.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec

from cloud.core.app import App
from cloud.core.changes import masked
from cloud.core.comparison import changes_between, content_of, text_of_changes
from cloud.core.config import Config, ConfigSpec
from cloud.core.decoding import convert
from cloud.core.registry import Registry
from cloud.core.revisions import KeptRevision, Revised, RevisedKind, Revision, Thing
from cloud.core.secret import Secret
from cloud.core.times import time_text
from cloud.errors import NotFound
from cloud.operations import revisions
from cloud.operations.registries import registry_versions
from cloud.rest.call import Call, Shown
from cloud.rest.configs import check_can_sign
from cloud.rest.described import NUMBER_LIMIT
from cloud.rest.views import View, app_view, config_view, registry_view, secret_view
from cloud.store.interface import Transaction


class Undo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which revision to go back to; 0, or nothing said: the one before the newest."""

    revision: Annotated[int, msgspec.Meta(ge=0, le=NUMBER_LIMIT)] = 0


def lister(kind: RevisedKind) -> Callable[[Call], Awaitable[View]]:
    """`GET /v1/KIND/{name}/revisions`, newest first."""

    async def list_revisions(call: Call) -> View:
        thing, options = _thing(call, kind), call.list_options()
        found = await call.store.read(
            lambda tx: revisions.list_revisions(tx, thing, limit=options.limit, after=options.after)
        )
        return call.list_view(found.page, options, lambda one: _view(one, found.current))

    return list_revisions


def reader(kind: RevisedKind) -> Callable[[Call], Awaitable[View]]:
    """`GET /v1/KIND/{name}/revisions/{revision}`."""

    async def get_revision(call: Call) -> View:
        thing, number = _thing(call, kind), _number(call)

        def read(tx: Transaction) -> View:
            found = revisions.existing_revision(tx, thing, number)
            current = revisions.current_revision(tx, thing)
            return {**_view(found.revision, current), "content": masked(_content(found))}

        return await call.store.read(read)

    return get_revision


def comparer(kind: RevisedKind) -> Callable[[Call], Awaitable[View]]:
    """`GET /v1/KIND/{name}/diff`."""

    async def compare(call: Call) -> View:
        thing = _thing(call, kind)
        first, second = call.number("from", 0), call.number("to", 0)

        def read(tx: Transaction) -> View:
            before, after = revisions.two_revisions(tx, thing, first, second)
            numbers = before.revision.number if before else 0, after.revision.number
            contents = _content(before), _content(after)
            heads = tuple(f"{thing.name} revision {number}" for number in numbers)
            return {
                "name": thing.name,
                "from": numbers[0],
                "to": numbers[1],
                "changes": [
                    {"path": one.path, "before": one.before, "after": one.after}
                    for one in changes_between(*contents)
                ],
                "text": text_of_changes(*contents, (heads[0], heads[1])),
            }

        return await call.store.read(read)

    return compare


def undoer(kind: RevisedKind) -> Callable[[Call], Awaitable[Shown]]:
    """`POST /v1/KIND/{name}/undo`."""

    async def undo(call: Call) -> Shown:
        thing, precondition = _thing(call, kind), call.precondition()
        number = convert(await call.optional_content(), Undo).revision

        def back(tx: Transaction) -> Shown:
            spec = revisions.wanted_spec(tx, thing, number)
            if isinstance(spec, ConfigSpec):
                check_can_sign(call, spec)
            noun = revisions.undo(
                tx,
                thing,
                spec,
                now=call.now,
                precondition=precondition,
                runtimes=call.api.function_runtimes,
            )
            return _shown(tx, noun)

        return await call.store.write(back)

    return undo


def _thing(call: Call, kind: RevisedKind) -> Thing:
    return Thing(kind, call.namespace, call.path("name"))


def _number(call: Call) -> int:
    """Which revision the path names; NotFound for what can be none."""
    text = call.path("revision")
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) <= NUMBER_LIMIT):
        raise NotFound("revision", text)
    return int(text)


def _view(revision: Revision, current: int) -> View:
    actor = revision.actor
    return {
        "revision": revision.number,
        "version": revision.version,
        "time": time_text(revision.time),
        "actor": {"kind": actor.kind, "name": actor.name, "namespace": actor.namespace},
        "reason": revision.reason,
        "action": revision.action,
        "current": revision.number == current,
    }


def _content(found: KeptRevision | None) -> dict[str, Any] | None:
    return content_of(found.spec) if found and found.spec else None


def _shown(tx: Transaction, noun: Revised) -> Shown:
    """The thing as its own handlers show it."""
    match noun:
        case App():
            view = app_view(noun, registry_versions(tx, noun))
            return Shown(view, noun, is_whole=not noun.spec.registries)
        case Config():
            return Shown(config_view(noun), noun)
        case Secret():
            return Shown(secret_view(noun), noun)
        case Registry():
            return Shown(registry_view(noun), noun)
