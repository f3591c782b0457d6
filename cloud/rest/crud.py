"""Common parts of kinds: handlers and rows of the route table.

Their things are listed in pages, created, read, updated, patched and deleted; what has versions is
selected by labels, and what it was is stored as revisions.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import msgspec

from cloud.answers.common import Answer, AppSummary, DoneAnswer, Listed, Numbered
from cloud.core.app import App
from cloud.core.decoding import convert
from cloud.core.kinds import ResourceKind, begins_rollouts
from cloud.core.listing import Page
from cloud.core.merge_patch import merged
from cloud.core.nulls import without_nulls
from cloud.core.spec_fields import spec_fields
from cloud.operations.apps import list_apps_using
from cloud.operations.kinds import KindOperations, Stored
from cloud.rest.answers import DONE, app_summary
from cloud.rest.context import RequestContext, ResourceResponse, numbered, take_name
from cloud.rest.described import (
    LISTED,
    NUMBERED,
    ROLLOUT_QUERY,
    SPEC_ONLY,
    SPEC_ONLY_QUERY,
    Body,
    Described,
    Name,
    Parameter,
)
from cloud.rest.masked_answers import answer_to_change
from cloud.rest.node_limit import NodeLimit
from cloud.rest.revisions import Revisions
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

N = TypeVar("N", bound=Stored)

Respond = Callable[[RequestContext, Transaction, N], ResourceResponse[Answer]]


def _accept(context: RequestContext, spec: Any) -> None:
    """Kinds whose specs need no check of the server's own."""


@dataclass(frozen=True, slots=True)
class Crud(Generic[N]):
    """The handlers of one kind, and what is its own.

    *respond* is how one thing is shown, *created* how a new one, where that is not the same, *read*
    how the one of a name, where that takes fewer statements, and *summary* how an item of a list
    is; *answer_type* and *summary_type* are what these return. *check* refuses a spec that this
    server cannot serve. *spelled* renames fields. *copied* fills in what a POST may leave out,
    *completed* what a PUT may, from the thing as it is. *change* is the type of what a PUT takes,
    where that is not the spec; *changed* makes one of a patched spec, and *update* carries it out.
    *deleted* is called once a thing is gone. *listed* is the query of its list, which *listing*
    answers where it has more than selectors; *list_limit* is that of its route.
    """

    operations: KindOperations[N]
    summary: Callable[[RequestContext, Any], Answer]
    summary_type: type[Answer]
    respond: Respond[N]
    answer_type: type[Answer]
    created: Respond[N] | None = None
    read: Callable[[RequestContext, Transaction, str], ResourceResponse[Answer]] | None = None
    check: Callable[[RequestContext, Any], None] = _accept
    spelled: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    copied: Callable[[RequestContext, Transaction, Mapping[str, Any]], Mapping[str, Any]] | None = (
        None
    )
    completed: Callable[[N, Mapping[str, Any]], Mapping[str, Any]] | None = None
    create: Callable[[RequestContext, Transaction, str, Any], N] | None = None
    change: type[msgspec.Struct] | None = None
    changed: Callable[[Any], Any] | None = None
    update: Callable[[RequestContext, Transaction, str, Any], N] | None = None
    deleted: Callable[[RequestContext, N], None] | None = None
    listed: tuple[Parameter, ...] = LISTED
    listing: Callable[[RequestContext], Awaitable[Answer]] | None = None
    list_limit: NodeLimit | None = None
    # Whether one is read by a row or two, in less time than a thread takes.
    is_short: bool = False

    @property
    def kind(self) -> ResourceKind:
        """The kind that this is about."""
        return self.operations.kind

    @property
    def read_only(self) -> frozenset[str]:
        """Fields of answers that are ignored in bodies."""
        return self.kind.read_only

    async def post(self, context: RequestContext) -> ResourceResponse[Answer]:
        """`POST /v1/KIND`."""
        content = await context.content(ignored=self.read_only)
        name, copied, respond = take_name(content), self.copied, self.created or self.respond
        sent = None if copied else self._spec(context, content)

        def create(tx: Transaction) -> ResourceResponse[Answer]:
            spec = self._spec(context, copied(context, tx, content)) if copied else sent
            return respond(context, tx, self._create(context, tx, name, spec))

        return await context.store.write(create)

    async def put(self, context: RequestContext) -> ResourceResponse[Answer]:
        """`PUT /v1/KIND/{name}`."""
        content = await context.content(ignored=self.read_only | {"name"})
        if self.spelled is not None:
            content = dict(without_nulls(self.spelled(content), self.kind.spec))
        completed = self.completed
        if completed is not None:
            return await self._update(
                context, lambda before: self._change(context, completed(before, content))
            )
        change = content if self.kind.is_partial else self._change(context, content)
        return await self._update(context, lambda _: change)

    async def patch(self, context: RequestContext) -> ResourceResponse[Answer]:
        """`PATCH /v1/KIND/{name}`: as PUT, of what the merge patch makes of the thing.

        What it takes away is as if it was never given.
        """
        sent = await context.patch(ignored=self.read_only | {"name"})
        patch = self.spelled(sent) if self.spelled else sent

        def wanted(before: N) -> Any:
            spec = self._spec(context, merged(msgspec.to_builtins(before.spec), patch))
            if self.kind.is_partial:
                return msgspec.to_builtins(spec)
            return self.changed(spec) if self.changed else spec

        return await self._update(context, wanted)

    async def get(self, context: RequestContext) -> ResourceResponse[Answer]:
        """`GET /v1/KIND/{name}`."""
        name = self._name(context)

        def read(tx: Transaction) -> ResourceResponse[Answer]:
            if self.read is not None:
                return self.read(context, tx, name)
            return self.respond(context, tx, self.operations.existing(tx, context.namespace, name))

        look = context.store.read_short if self.is_short else context.store.read
        found = await look(read)
        if not context.flag(SPEC_ONLY):
            return found
        fields = spec_fields(self.kind, msgspec.to_builtins(found.answer))
        return replace(found, fields=fields, is_whole=False)

    async def page(self, context: RequestContext) -> Listed[Answer]:
        """`GET /v1/KIND`, with selectors and tokens that lead from page to page."""
        options = context.list_options()
        page: Any = await context.store.read(
            lambda tx: self.operations.list(tx, context.namespace, options)
        )
        return context.listed(page, options, lambda item: self.summary(context, item))

    async def numbered_page(self, context: RequestContext) -> Numbered[Answer]:
        """`GET /v1/KIND`, by numbers of pages."""
        options = context.page_options()
        page: Any = await context.store.read(
            lambda tx: self.operations.list(tx, context.namespace, options)
        )
        return numbered(page, lambda item: self.summary(context, item))

    async def delete(self, context: RequestContext) -> DoneAnswer:
        """`DELETE /v1/KIND/{name}`."""
        name, precondition = self._name(context), context.precondition()

        def delete(tx: Transaction) -> N:
            before = self.operations.existing(tx, context.namespace, name)
            precondition.check(lambda: before)
            self.operations.delete(tx, context.namespace, name, context.writing)
            return before

        before = await context.store.write(delete)
        if self.deleted is not None:
            self.deleted(context, before)
        return DONE

    async def users(self, context: RequestContext) -> Listed[AppSummary]:
        """`GET /v1/KIND/{name}/apps`."""
        name, options = self._name(context), context.list_options()

        def related(tx: Transaction) -> Page[App]:
            self.operations.existing(tx, context.namespace, name)
            return list_apps_using(tx, context.namespace, self.kind, name, options)

        return context.listed(await context.store.read(related), options, app_summary)

    def _name(self, context: RequestContext) -> str:
        return context.path(self.kind.parameter)

    async def _update(
        self, context: RequestContext, wanted: Callable[[N], Any]
    ) -> ResourceResponse[Answer]:
        name, precondition = self._name(context), context.precondition()

        def work(tx: Transaction) -> ResourceResponse[Answer]:
            before = self.operations.existing(tx, context.namespace, name)
            precondition.check(lambda: before)
            change = wanted(before)
            if self.update is not None:
                after = self.update(context, tx, name, change)
            else:
                where = (tx, context.namespace, name)
                after = self.operations.update(*where, change, context.writing)
            return answer_to_change(context, self.kind, self.respond(context, tx, after))

        return await context.store.write(work)

    def _create(self, context: RequestContext, tx: Transaction, name: str, spec: Any) -> N:
        if self.create is not None:
            return self.create(context, tx, name, spec)
        return self.operations.create(tx, context.namespace, name, spec, context.writing)

    def _spec(self, context: RequestContext, content: Mapping[str, Any]) -> Any:
        spec = convert(content, self.kind.spec)
        self.check(context, spec)
        return spec

    def _change(self, context: RequestContext, content: Mapping[str, Any]) -> Any:
        if self.change is None:
            return self._spec(context, content)
        return convert(content, self.change)


def crud_routes(
    crud: Crud[N],
    *,
    query: tuple[Parameter, ...] = (),
    name: Name = Name.REQUIRED,
) -> Sequence[ApiRoute]:
    """The rows of a kind, those of its revisions too.

    *query* is of POST, and whether that has to send a *name*.
    """
    kind, spec = crud.kind, crud.kind.spec
    answer, change = crud.answer_type, crud.change or crud.kind.spec
    sent = Body(spec, name, required=kind.required_to_create)
    changed = Body(change, Name.IGNORED, required=kind.required)
    patched = Body(change, Name.IGNORED, is_patch=True, required=kind.required)
    path, one = kind.path, f"{kind.path}/{{{kind.parameter}}}"
    a_word = kind.a_word
    rolled = ROLLOUT_QUERY if begins_rollouts(kind) else ()
    created = Described(
        f"Create {a_word}", answer, sent, (*query, *rolled), (404,) if query else ()
    )
    updated = Described(f"Update {a_word}", answer, changed, rolled)
    rows = [
        ApiRoute("GET", path, *_list_of(crud), limit=crud.list_limit),
        ApiRoute("POST", path, crud.post, created),
        ApiRoute(
            "GET",
            one,
            crud.get,
            Described(f"Get {a_word}", answer, query=SPEC_ONLY_QUERY),
        ),
        ApiRoute("PUT", one, crud.put, updated),
        ApiRoute(
            "PATCH",
            one,
            crud.patch,
            Described(f"Patch {a_word}", answer, patched, rolled),
        ),
        ApiRoute("DELETE", one, crud.delete, Described(f"Delete {a_word}")),
    ]
    if kind.is_used_by_apps:
        about = Described(f"Apps that use {a_word}", Listed[AppSummary], query=LISTED)
        rows.append(
            ApiRoute("GET", f"{one}/apps", crud.users, about, needs=f"describe {kind.plural}")
        )
    if kind.has_revisions:
        revisions = Revisions(crud.operations, crud.respond, crud.check)
        rows.extend(revisions.routes(answer))
    return rows


def _list_of(crud: Crud[Any]) -> tuple[Any, Described]:
    """The handler of the list of a kind, and its description."""
    summary = f"List {crud.kind.plural}"
    if crud.kind.is_numbered:
        shown: Any = Numbered[crud.summary_type]  # type: ignore[name-defined]
        return crud.numbered_page, Described(summary, shown, query=NUMBERED)
    shown = Listed[crud.summary_type]  # type: ignore[name-defined]
    return crud.listing or crud.page, Described(summary, shown, query=crud.listed)
