"""One request of the API, and what a handler needs to answer it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cloud.answers.common import Answer, Listed, ListOptionsAnswer, Numbered
from cloud.core.audit import Action
from cloud.core.decoding import check_depth, check_text, convert
from cloud.core.entity_tag import Precondition, entity_tag, read_tags
from cloud.core.grants import joined_selector
from cloud.core.listing import ListOptions, NumberedPage, Page, PageOptions
from cloud.core.nulls import without_nulls
from cloud.core.permissions import Permission
from cloud.core.resource import Tagged
from cloud.core.tokens import Caller
from cloud.errors import (
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    TooManyValues,
    UnknownMediaType,
)
from cloud.http.answers import (
    JSON,
    MERGE_PATCH,
    YAML,
    YAML_TYPES,
    json_response,
    not_modified_response,
)
from cloud.http.negotiation import prefers_yaml
from cloud.http.requests import check_query, locate, media_type_of, read_object
from cloud.operations.kinds import Writing
from cloud.operations.node_scope import NodeScope
from cloud.operations.plans import DryRunComplete
from cloud.operations.rollout_begin import AT_ONCE, RolloutOrder
from cloud.rest.audited import AuditedStore, attempt_of
from cloud.rest.auth import caller_of
from cloud.rest.described import CONFIRM, DRY_RUN, ROLLOUT_NOW, ROLLOUT_START, Body, Described
from cloud.rest.node_limit import NodeLimit, node_scope
from cloud.rest.plans import plan_answer
from cloud.rest.services import Services

T = TypeVar("T")
A = TypeVar("A", bound=Answer)
AnswerT = TypeVar("AnswerT", bound=Answer, covariant=True)

NAMESPACE_HEADER = "X-Edgesync-Namespace"

PAGE_SIZE = 20
"""Items on a numbered page where the caller does not set it."""

_NUMBER_DIGITS = 9
_SELECTING = (
    *("selector", "fieldSelector", "status", "sort"),
    *("type", "namespace", "actor", "action", "kind", "name", "requestId", "since", "until"),
)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One request: whose *namespace* it is about, and the one moment *now* it happens at."""

    api: Services
    request: Request
    namespace: str
    now: datetime
    # Where everything is stored; what this call changes there, it leaves an entry of.
    store: AuditedStore
    # The body that the route's row describes, None where it has none.
    body: Body | None = None
    # Selector of the nodes that the caller may see, for handlers of lists; empty for all.
    nodes: str = ""

    def permitted(self, needed: Permission) -> "RequestContext":
        """The context for what takes the permission *needed*, about the node in the path.

        Forbidden without it.
        """
        name = self.path("name")
        caller = caller_of(self.request)
        nodes = caller.nodes_for([needed], name, self.namespace)
        guarded = caller.limiting_labels(self.namespace)
        scope = NodeScope(self.namespace, name, nodes, guarded) if nodes else None
        return replace(self, store=replace(self.store, scope=scope), nodes=nodes)

    @property
    def writing(self) -> Writing:
        """The inputs of a change by this request."""
        api = self.api
        return Writing(self.now, api.new_id, api.new_token, api.function_runtimes)

    def path(self, parameter: str) -> str:
        """Value of a `{parameter}` of the route's path; NotFound if nothing can be called that."""
        value: str = self.request.path_params[parameter]
        if "\0" in value:
            raise NotFound(parameter, value)
        return value

    async def content(self, *, ignored: frozenset[str]) -> dict[str, Any]:
        """The body, an object, without fields that the server sets itself and fields that are null.

        Invalid for one that lacks what the row of its route asks for.
        """
        content = await self._sent(ignored)
        if self.body is None:
            return content
        if self.body.name is not None and content.get("name", "") is None:
            del content["name"]
        content = dict(without_nulls(content, self.body.kind))
        for field in self.body.required:
            if field not in content:
                # Errors in the other fields come first.
                others = dict(content)
                if self.body.name is not None:
                    take_name(others)
                convert(others, self.body.kind)
                raise Invalid(field, "missing")
        return content

    async def _sent(self, ignored: frozenset[str]) -> dict[str, Any]:
        sent = await read_object(self.request)
        return {key: value for key, value in sent.items() if key not in ignored}

    async def optional_content(self) -> dict[str, Any]:
        """The body, an object; an empty one where nothing was sent."""
        headers = self.request.headers
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            return {}
        return await self.content(ignored=frozenset())

    async def patch(self, *, ignored: frozenset[str]) -> dict[str, Any]:
        """The body, a merge patch, without the fields that the server sets itself."""
        if media_type_of(self.request) not in {MERGE_PATCH, JSON, *YAML_TYPES}:
            raise UnknownMediaType(MERGE_PATCH, JSON)
        patch = await self._sent(ignored)
        check_depth("", patch)
        if self.body is None:
            return patch
        for field in self.body.required:
            if patch.get(field, "") is None:
                raise Invalid(field, "cannot be taken away")
        cleaned: dict[str, Any] = without_nulls(patch, self.body.kind, is_patch=True)
        return cleaned

    def precondition(self) -> Precondition:
        """Which state the caller means; Invalid if it is not to be read."""
        headers = self.request.headers
        return Precondition(
            read_tags("If-Match", headers.getlist("if-match")),
            read_tags("If-None-Match", headers.getlist("if-none-match")),
        )

    def query(self, parameter: str) -> str:
        """The value of the query *parameter*, empty if absent; Invalid if repeated."""
        values = self.request.query_params.getlist(parameter)
        if len(values) > 1:
            raise Invalid(parameter, "is there more than once")
        return check_text(parameter, values[0]) if values else ""

    def flag(self, parameter: str) -> bool:
        """The flag in the query, false if absent; Invalid unless true or false, once."""
        return _flag(self.request, parameter)

    def list_options(self) -> ListOptions:
        """The list options of the query; of a page at a time also where it sets no limit.

        Invalid if it is not to be read, Expired if too late.
        """
        token = self.query("continue")
        return ListOptions(
            selector=self.query("selector"),
            field_selector=self.query("fieldSelector"),
            limit=self._at_most(self.number("limit", 0)),
            after=self.api.continuations.place(token, self._list, self.now) if token else None,
            now=self.now,
            most_bytes=self.api.list_bytes,
        )

    def node_options(self) -> ListOptions:
        """The same for a list of nodes, of those that the caller may see."""
        options = self.list_options()
        return replace(options, selector=joined_selector(self.nodes, options.selector))

    def listed(self, page: Page[T], options: ListOptions, answer: Callable[[T], A]) -> Listed[A]:
        """The page as an answer, with the token that leads to the next."""
        after = page.after
        token = self.api.continuations.token(after, self._list, self.now) if after else ""
        asked = ListOptionsAnswer(
            options.selector, options.field_selector, self.number("limit", 0), token
        )
        return Listed(page.total, asked, [answer(item) for item in page.items])

    @property
    def _list(self) -> tuple[str, ...]:
        """The parameters that select what a list shows."""
        selectors = (self.query(parameter) for parameter in _SELECTING)
        return (self.namespace, self.request.url.path, *selectors)

    def page_options(self) -> PageOptions:
        """Which numbered page the query asks for; what is below 1 stands for the default."""
        return PageOptions(
            number=self.number("pageNo", 1) or 1,
            size=self._at_most(self.number("pageSize", PAGE_SIZE) or PAGE_SIZE),
            name=self.query("name"),
        )

    def _at_most(self, count: int) -> int:
        """*count* items, or as many as one answer may have; also for 0."""
        return min(count or self.api.list_limit, self.api.list_limit)

    def seconds(self, parameter: str, most: int) -> int:
        """The duration in the query, 0 if absent; Invalid for more than *most*."""
        seconds = self.number(parameter, 0)
        if seconds > most:
            raise Invalid(parameter, f"is more than {most}")
        return seconds

    def number(self, parameter: str, default: int) -> int:
        """The number in the query *parameter*, else *default*; Invalid if it is no number."""
        text = self.query(parameter)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS):
            raise Invalid(parameter, f"{text[:40]!r} is not a number from 0 to 999999999")
        return int(text)


@dataclass(frozen=True, slots=True)
class ResourceResponse(Generic[AnswerT]):
    """One resource and the answer that shows it.

    *is_whole* where its entity tag stands for everything that is shown, so that who has the tag
    need not be sent it again. *is_secret* where caches must not keep it. *fields* are sent in place
    of the answer.
    """

    answer: AnswerT
    resource: Tagged
    is_whole: bool = True
    is_secret: bool = False
    fields: Mapping[str, Any] | None = None


Handler = Callable[[RequestContext], Awaitable[Answer | ResourceResponse[Answer] | Response]]
"""Answers a call with an answer, a resource, or with a response of its own making."""


def numbered(page: NumberedPage[T], answer: Callable[[T], A]) -> Numbered[A]:
    """A list that is paged by `pageNo`."""
    items = [answer(item) for item in page.items]
    return Numbered(page.total, page.number, page.size, items)


class _Named(msgspec.Struct):
    name: str = ""


def take_name(content: dict[str, Any]) -> str:
    """Remove the name from the body and return it; empty if there is none."""
    name = convert(content, _Named).name
    content.pop("name", None)
    return name


def endpoint(
    handler: Handler,
    *,
    described: Described,
    needs: Sequence[Permission],
    limit: NodeLimit,
    action: str | None,
) -> Callable[[Request], Awaitable[Response]]:
    """Make of *handler* what Starlette calls; Forbidden without one permission of *needs*.

    Invalid for a query that holds other parameters than those *described*.
    *action* is what the audit log calls what it does; what its caller may not do goes into the log
    too. The services are those of the application's state.
    """

    known = {
        changes: [one.name for one in described.parameters(changes=changes)]
        for changes in (False, True)
    }

    async def answer(request: Request) -> Response:
        api: Services = request.app.state.services
        caller, now = caller_of(request), api.clock()
        asked_for = partial(attempt_of, request, action or Action.API_READ, caller.namespace, now)
        async with api.refusals.recording(asked_for, Forbidden):
            try:
                return await admitted(api, request, caller, now)
            except Invalid as error:
                if not isinstance(error, TooManyValues):
                    await locate(request, error)
                raise

    async def admitted(api: Services, request: Request, caller: Caller, now: datetime) -> Response:
        asked = request.headers.get(NAMESPACE_HEADER)
        namespace = caller.namespace_of_call(NAMESPACE_HEADER, asked, api.default_namespace)
        nodes = caller.nodes_for(needs, _name_in(request), namespace)
        scope = node_scope(request, caller, namespace, nodes, limit)
        attempt = attempt_of(request, action, namespace, now) if action else None
        is_write = request.method not in {"GET", "HEAD"}
        check_query(request, known[is_write])
        audited = AuditedStore(
            api.store,
            attempt,
            api.revisions_kept,
            is_dry_run=is_write and _flag(request, DRY_RUN),
            is_confirmed=is_write and _flag(request, CONFIRM),
            order=_order_of(request) if is_write else AT_ONCE,
            scope=scope,
            is_limited=bool(nodes),
        )
        context = RequestContext(api, request, namespace, now, audited, described.body, nodes)
        try:
            result = await handler(context)
        except DryRunComplete as planned:
            return await answer_response(request, plan_answer(planned.plan))
        if audited.is_dry_run:
            raise Invalid(DRY_RUN, "this changes nothing that could be tried out")
        if isinstance(result, Response):
            return result
        if isinstance(result, ResourceResponse):
            return await _resource_response(context, result)
        return await answer_response(request, result)

    return answer


def _name_in(request: Request) -> str:
    """The name of the thing in the path, that of what it is below of before it; empty for none."""
    parameters = request.path_params
    return "/".join(parameters[one] for one in ("batch", "record", "name") if one in parameters)


class _Ordered(msgspec.Struct, rename="camel"):
    rollout_start: Annotated[datetime, msgspec.Meta(tz=True)]


def _order_of(request: Request) -> RolloutOrder:
    """How rollouts begin that the change causes; Invalid for a time that cannot be read."""
    text = request.query_params.get(ROLLOUT_START, "")
    starts = convert({ROLLOUT_START: text}, _Ordered).rollout_start if text else None
    return RolloutOrder(starts, _flag(request, ROLLOUT_NOW))


def _flag(request: Request, parameter: str) -> bool:
    """The flag in the query; Invalid unless true or false, once."""
    values = request.query_params.getlist(parameter)
    if values == ["true"]:
        return True
    if values not in ([], ["false"]):
        raise Invalid(parameter, "is neither true nor false")
    return False


async def _resource_response(context: RequestContext, shown: ResourceResponse[Answer]) -> Response:
    tag = entity_tag(shown.resource)
    if context.request.method in {"GET", "HEAD"}:
        precondition = context.precondition()
        if not precondition.admits(tag):
            raise PreconditionFailed(type(shown.resource).__name__.lower(), shown.resource.name)
        if shown.is_whole and precondition.knows(tag):
            return not_modified_response(tag)
    headers = {"Cache-Control": "no-store"} if shown.is_secret else {}
    answer = shown.answer if shown.fields is None else shown.fields
    return await answer_response(context.request, answer, headers={"ETag": tag, **headers})


async def answer_response(
    request: Request,
    answer: Answer | Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """*answer* in the form that the caller asks for: JSON, or YAML where that is named."""
    if not prefers_yaml(request.headers.getlist("accept")):
        return json_response(answer, headers=headers)
    from cloud.http.yaml_text import encode_yaml  # loads YAML, which no start needs

    text = await asyncio.to_thread(encode_yaml, answer)
    return Response(text, headers={**(headers or {}), "Vary": "Accept"}, media_type=YAML)
