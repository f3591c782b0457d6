"""Revisions: earlier states, differences, undo; nothing here shows a secret value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from cloud.answers.common import Answer, ChangeAnswer, Listed
from cloud.answers.revisions import DiffAnswer, RevisionAnswer, RevisionSummary
from cloud.core.comparison import changes_between, text_of_changes
from cloud.core.decoding import convert
from cloud.core.kinds import ResourceKind
from cloud.core.mask import masked
from cloud.core.resource import hidden_content
from cloud.core.revisions import (
    Revision,
    StoredRevision,
    Thing,
)
from cloud.core.times import time_text
from cloud.errors import NotFound
from cloud.operations import revisions
from cloud.operations.kinds import KindOperations, Stored
from cloud.rest.answers import actor_answer
from cloud.rest.context import RequestContext, ResourceResponse
from cloud.rest.described import COMPARED, NUMBER_LIMIT, PAGED, Body, Described
from cloud.rest.masked_answers import answer_to_change
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

N = TypeVar("N", bound=Stored)


class Undo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which revision to go back to; 0 or absent: the one before the newest."""

    revision: Annotated[int, msgspec.Meta(ge=0, le=NUMBER_LIMIT)] = 0


@dataclass(frozen=True, slots=True)
class Revisions(Generic[N]):
    """The handlers of the revisions of one kind.

    *respond* shows a thing as its own handlers do; *check* refuses a spec that this server cannot
    serve.
    """

    operations: KindOperations[N]
    respond: Callable[[RequestContext, Transaction, N], ResourceResponse[Answer]]
    check: Callable[[RequestContext, Any], None]

    async def page(self, context: RequestContext) -> Listed[RevisionSummary]:
        """`GET /v1/KIND/{name}/revisions`, newest first."""
        thing, options = self._thing(context), context.list_options()
        found = await context.store.read(
            lambda tx: revisions.list_revisions(tx, thing, limit=options.limit, after=options.after)
        )
        return context.listed(found.page, options, lambda one: _summary(one, found.current))

    async def get(self, context: RequestContext) -> RevisionAnswer:
        """`GET /v1/KIND/{name}/revisions/{revision}`."""
        thing, number, kind = self._thing(context), _number(context), self.operations.kind

        def read(tx: Transaction) -> RevisionAnswer:
            found = revisions.existing_revision(tx, thing, number)
            current = revisions.current_revision(tx, thing)
            summary = msgspec.structs.asdict(_summary(found.revision, current))
            return RevisionAnswer(**summary, content=masked(_content(kind, found)))

        return await context.store.read(read)

    async def diff(self, context: RequestContext) -> DiffAnswer:
        """`GET /v1/KIND/{name}/diff`."""
        thing = self._thing(context)
        first, second = context.number("from", 0), context.number("to", 0)
        kind = self.operations.kind

        def read(tx: Transaction) -> DiffAnswer:
            before, after = revisions.two_revisions(tx, thing, first, second)
            numbers = before.revision.number if before else 0, after.revision.number
            contents = _content(kind, before), _content(kind, after)
            heads = tuple(f"{thing.name} revision {number}" for number in numbers)
            changes = changes_between(*contents)
            return DiffAnswer(
                name=thing.name,
                from_=numbers[0],
                to=numbers[1],
                changes=[ChangeAnswer(one.path, one.before, one.after) for one in changes],
                text=text_of_changes(*contents, (heads[0], heads[1])),
            )

        return await context.store.read(read)

    async def undo(self, context: RequestContext) -> ResourceResponse[Answer]:
        """`POST /v1/KIND/{name}/undo`."""
        thing, precondition = self._thing(context), context.precondition()
        number = convert(await context.optional_content(), Undo).revision

        def back(tx: Transaction) -> ResourceResponse[Answer]:
            spec = revisions.wanted_spec(tx, thing, number)
            self.check(context, spec)
            noun = revisions.undo(
                tx,
                self.operations,
                thing,
                spec,
                writing=context.writing,
                precondition=precondition,
            )
            shown = self.respond(context, tx, noun)
            return answer_to_change(context, self.operations.kind, shown)

        return await context.store.write(back)

    def _thing(self, context: RequestContext) -> Thing:
        kind = self.operations.kind
        return Thing(kind.logged_as, context.namespace, context.path(kind.parameter))

    def routes(self, answer: type[Answer]) -> Sequence[ApiRoute]:
        """The rows; the read permission covers old revisions, as no secret value is shown."""
        path = f"{self.operations.kind.path}/{{{self.operations.kind.parameter}}}"
        noun, describes = self.operations.kind.a_word, f"describe {self.operations.kind.plural}"
        return (
            ApiRoute(
                "GET",
                f"{path}/revisions",
                self.page,
                Described(f"Revisions of {noun}", Listed[RevisionSummary], query=PAGED),
                needs=describes,
            ),
            ApiRoute(
                "GET",
                f"{path}/revisions/{{revision}}",
                self.get,
                Described(f"One revision of {noun}", RevisionAnswer),
                needs=describes,
            ),
            ApiRoute(
                "GET",
                f"{path}/diff",
                self.diff,
                Described(
                    f"What differs between two revisions of {noun}", DiffAnswer, query=COMPARED
                ),
                needs=describes,
            ),
            ApiRoute(
                "POST",
                f"{path}/undo",
                self.undo,
                Described(f"Take {noun} back to a revision", answer, Body(Undo, may_lack=True)),
            ),
        )


def _number(context: RequestContext) -> int:
    """Which revision the path names; NotFound for what can be none."""
    text = context.path("revision")
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) <= NUMBER_LIMIT):
        raise NotFound("revision", text)
    return int(text)


def _summary(revision: Revision, current: int) -> RevisionSummary:
    return RevisionSummary(
        revision=revision.number,
        version=revision.version,
        time=time_text(revision.time),
        actor=actor_answer(revision.actor),
        reason=revision.reason,
        action=revision.action,
        current=revision.number == current,
    )


def _content(kind: ResourceKind, found: StoredRevision | None) -> dict[str, Any] | None:
    return hidden_content(kind, found.spec) if found and found.spec else None
