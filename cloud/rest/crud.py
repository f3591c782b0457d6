"""What is the same of kinds like Config: handlers and rows of the route table.

Each is stored under a name in a namespace, listed in pages, selected, created, updated, patched and
deleted; what it was is stored as revisions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from cloud.core.app import App, UseKind
from cloud.core.decoding import convert
from cloud.core.kinds import ResourceKind
from cloud.core.listing import Page
from cloud.core.merge_patch import merged
from cloud.core.revisions import Revised
from cloud.core.tokens import Role
from cloud.operations.apps import list_apps_using
from cloud.operations.kinds import KindOperations
from cloud.rest.answers import DONE, Answer, AppSummary, DoneAnswer, Listed, app_summary
from cloud.rest.context import RequestContext, ResourceResponse, take_name
from cloud.rest.described import LISTED, Body, Described, Name, Parameter
from cloud.rest.revisions import Revisions
from cloud.rest.route import ApiRoute
from cloud.store.transaction import Transaction

N = TypeVar("N", bound=Revised)


def _accept(context: RequestContext, spec: Any) -> None:
    """Kinds whose specs need no check of the server's own."""


@dataclass(frozen=True, slots=True)
class Crud(Generic[N]):
    """The handlers of one kind, and what is its own.

    *respond* is how one thing is shown, *summary* how in a list; *answer_type* and *summary_type*
    are what these return. *check* refuses a spec that this server cannot serve. *copied* fills in
    what a POST may leave out, *completed* what a PUT may, from the thing as it is. *change* is the
    type of what a PUT takes, where that is not the spec; *changed* makes one of a patched spec, and
    *update* carries it out.
    """

    operations: KindOperations[N]
    summary: Callable[[N], Answer]
    summary_type: type[Answer]
    respond: Callable[[Transaction, N], ResourceResponse[Answer]]
    answer_type: type[Answer]
    check: Callable[[RequestContext, Any], None] = _accept
    copied: Callable[[RequestContext, Transaction, Mapping[str, Any]], Mapping[str, Any]] | None = (
        None
    )
    completed: Callable[[N, Mapping[str, Any]], Mapping[str, Any]] | None = None
    create: Callable[[RequestContext, Transaction, str, Any], N] | None = None
    change: type[msgspec.Struct] | None = None
    changed: Callable[[Any], Any] | None = None
    update: Callable[[RequestContext, Transaction, str, Any], N] | None = None

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
        name, copied = take_name(content), self.copied
        sent = None if copied else self._spec(context, content)

        def create(tx: Transaction) -> ResourceResponse[Answer]:
            spec = self._spec(context, copied(context, tx, content)) if copied else sent
            return self.respond(tx, self._create(context, tx, name, spec))

        return await context.store.write(create)

    async def put(self, context: RequestContext) -> ResourceResponse[Answer]:
        """`PUT /v1/KIND/{name}`."""
        content = await context.content(ignored=self.read_only | {"name"})
        completed = self.completed
        if completed is not None:
            return await self._update(
                context, lambda before: self._change(context, completed(before, content))
            )
        change = self._change(context, content)
        return await self._update(context, lambda _: change)

    async def patch(self, context: RequestContext) -> ResourceResponse[Answer]:
        """`PATCH /v1/KIND/{name}`: as PUT, of what the merge patch makes of the thing."""
        patch = await context.patch(ignored=self.read_only | {"name"})

        def wanted(before: N) -> Any:
            spec = self._spec(context, merged(msgspec.to_builtins(before.spec), patch))
            return self.changed(spec) if self.changed else spec

        return await self._update(context, wanted)

    async def get(self, context: RequestContext) -> ResourceResponse[Answer]:
        """`GET /v1/KIND/{name}`."""
        name = context.path("name")
        return await context.store.read(
            lambda tx: self.respond(tx, self.operations.existing(tx, context.namespace, name))
        )

    async def page(self, context: RequestContext) -> Listed[Answer]:
        """`GET /v1/KIND`."""
        options = context.list_options()
        page = await context.store.read(
            lambda tx: self.operations.list(tx, context.namespace, options)
        )
        return context.listed(page, options, self.summary)

    async def delete(self, context: RequestContext) -> DoneAnswer:
        """`DELETE /v1/KIND/{name}`."""
        name, precondition = context.path("name"), context.precondition()

        def delete(tx: Transaction) -> None:
            precondition.check(lambda: self.operations.existing(tx, context.namespace, name))
            self.operations.delete(tx, context.namespace, name)

        await context.store.write(delete)
        return DONE

    async def users(self, context: RequestContext) -> Listed[AppSummary]:
        """`GET /v1/KIND/{name}/apps`."""
        name, options = context.path("name"), context.list_options()

        def related(tx: Transaction) -> Page[App]:
            self.operations.existing(tx, context.namespace, name)
            kind = UseKind(self.kind.word)
            return list_apps_using(tx, context.namespace, kind, name, options)

        return context.listed(await context.store.read(related), options, app_summary)

    async def _update(
        self, context: RequestContext, wanted: Callable[[N], Any]
    ) -> ResourceResponse[Answer]:
        name, precondition = context.path("name"), context.precondition()
        api, update = context.api, self.update

        def work(tx: Transaction) -> ResourceResponse[Answer]:
            before = self.operations.existing(tx, context.namespace, name)
            precondition.check(lambda: before)
            change = wanted(before)
            if update is not None:
                return self.respond(tx, update(context, tx, name, change))
            where = (tx, context.namespace, name)
            runtimes = api.function_runtimes
            after = self.operations.restore(*where, change, now=context.now, runtimes=runtimes)
            return self.respond(tx, after)

        return await context.store.write(work)

    def _create(self, context: RequestContext, tx: Transaction, name: str, spec: Any) -> N:
        if self.create is not None:
            return self.create(context, tx, name, spec)
        runtimes = context.api.function_runtimes
        where = (tx, context.namespace, name)
        return self.operations.create(*where, spec, now=context.now, runtimes=runtimes)

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
    read_role: Role | None = None,
    query: tuple[Parameter, ...] = (),
    required: tuple[str, ...] = (),
) -> Sequence[ApiRoute]:
    """The rows of a kind, those of its revisions too.

    *read_role* is the least role of who may see one thing; *query* and *required* are of POST.
    """
    kind, spec = crud.kind, crud.kind.spec
    answer, change = crud.answer_type, crud.change or crud.kind.spec
    patched = Body(change, Name.IGNORED, is_patch=True, required=kind.required)
    path, one = kind.path, f"{kind.path}/{{name}}"
    listed, a_word = Listed[crud.summary_type], kind.a_word  # type: ignore[name-defined]
    rows = [
        ApiRoute("GET", path, crud.page, Described(f"List {kind.plural}", listed, query=LISTED)),
        ApiRoute(
            "POST",
            path,
            crud.post,
            Described(
                f"Create {a_word}",
                answer,
                Body(spec, Name.REQUIRED, required=required),
                query,
                (404,) if query else (),
            ),
        ),
        ApiRoute("GET", one, crud.get, Described(f"Get {a_word}", answer), needs=read_role),
        ApiRoute(
            "PUT",
            one,
            crud.put,
            Described(
                f"Update {a_word}", answer, Body(change, Name.IGNORED, required=kind.required)
            ),
        ),
        ApiRoute("PATCH", one, crud.patch, Described(f"Patch {a_word}", answer, patched)),
        ApiRoute("DELETE", one, crud.delete, Described(f"Delete {a_word}")),
    ]
    if kind.word in set(UseKind):
        about = Described(f"Apps that use {a_word}", Listed[AppSummary], query=LISTED)
        rows.append(ApiRoute("GET", f"{one}/apps", crud.users, about))
    if kind.has_revisions:
        revisions = Revisions(crud.operations, crud.respond, crud.check)
        rows.extend(revisions.routes(answer))
    return rows
