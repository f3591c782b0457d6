"""The resources of one kind: what is the same of all of them, made from the registry of kinds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cloud.core.kinds import ResourceKind
from edgesync.client.calls import Calls, Json, given
from edgesync.client.engines import BlockingEngine
from edgesync.client.errors import NotFoundError, WaitTimeout
from edgesync.client.methods import ApiIterator, ApiMethod, ApiPart
from edgesync.client.steps import Items, Pause, ReadClock, Steps, answered, json_of

if TYPE_CHECKING:
    from edgesync.client.async_engine import AsyncEngine

E = TypeVar("E", bound="BlockingEngine | AsyncEngine")
S = TypeVar("S")
O = TypeVar("O")  # noqa: E741  # one
I = TypeVar("I")  # noqa: E741  # item

NOT_FOUND = 404
LOOK_EVERY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ResourceForms(Generic[S, O, I]):
    """How plain data becomes *one* resource, or an *item* of a list; *sent* is the way back."""

    one: Callable[[Any], O]
    item: Callable[[Any], I]
    sent: Callable[[S | O], Json]


@dataclass(frozen=True, slots=True)
class TaggedResource(Generic[O]):
    """A resource, and the entity *tag* of its state: `put(..., if_match=tag)`."""

    value: O
    tag: str


class KindPart(ApiPart[E], Generic[E, S, O, I]):
    """A part of the API that is about one *kind*; its resources may be below a *parent*."""

    def __init__(
        self,
        engine: E,
        calls: Calls,
        kind: ResourceKind,
        forms: ResourceForms[S, O, I],
        parent: str = "",
    ) -> None:
        super().__init__(engine, calls)
        self.kind = kind
        self._forms = forms
        self._parent = parent

    def _path(self, name: str, *below: str) -> str:
        full = f"{self._parent}/{name}" if self._parent else name
        return "/".join((self.kind.url(full), *below))

    @property
    def _collection(self) -> str:
        return self.kind.collection({self.kind.parent_field: self._parent})

    def _one(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        if_match: str = "",
    ) -> Steps[TaggedResource[O]]:
        headers = {"If-Match": if_match} if if_match else {}
        request = self._calls.request(method, path, body=body, query=query, headers=headers)
        answer = yield from self._calls.ask(request)
        content = json_of(answer, self._calls.url)
        return TaggedResource(self._forms.one(content), answer.headers.get("etag", ""))

    def _body(self, spec: S | O | Json) -> dict[str, Any]:
        return dict(spec if isinstance(spec, Mapping) else self._forms.sent(spec))


class KindResources(KindPart[E, S, O, I]):
    """The resources of one kind: list, read, create, change and delete them."""

    @ApiIterator
    def list(
        self,
        *,
        selector: str = "",
        field_selector: str = "",
        include: str = "",
        name: str = "",
    ) -> Items[I]:
        """All resources, page by page; by labels, by fields, or by a part of the *name*.

        Kinds without labels have no *selector*; *name* is for batches, records and callbacks.
        *include* `status` adds to nodes what they last reported.
        """
        if self.kind.is_numbered:
            return self._calls.numbered(self._collection, given(name=name), self._forms.item)
        query = given(selector=selector, fieldSelector=field_selector, include=include)
        return self._calls.listed(self._collection, query, self._forms.item)

    @ApiMethod
    def count(self, *, selector: str = "", field_selector: str = "") -> Steps[int]:
        """The number of resources, by labels or fields."""
        query = given(selector=selector, fieldSelector=field_selector)
        one = {"pageSize": "1"} if self.kind.is_numbered else {"limit": "1"}
        content = yield from self._calls.json("GET", self._collection, query={**query, **one})
        return int(content["total"])

    @ApiMethod
    def get(self, name: str) -> Steps[O]:
        """The resource *name*; NotFoundError if it does not exist."""
        return (yield from self._one("GET", self._path(name))).value

    @ApiMethod
    def find(self, name: str) -> Steps[O | None]:
        """The resource *name*; None if it does not exist."""
        try:
            return (yield from self._one("GET", self._path(name))).value
        except NotFoundError:
            return None

    @ApiMethod
    def tagged(self, name: str) -> Steps[TaggedResource[O]]:
        """The resource *name* with its entity tag, for `if_match`."""
        return (yield from self._one("GET", self._path(name)))

    @ApiMethod
    def create(self, name: str, spec: S | Json) -> Steps[O]:
        """Create a resource; ApiError if the name is taken. It is not tried again after a loss."""
        body = {**self._body(spec), "name": name}
        return (yield from self._one("POST", self._collection, body=body)).value

    @ApiMethod
    def put(self, name: str, spec: S | O | Json, *, if_match: str = "") -> Steps[O]:
        """Replace the spec of a resource; what was read, and changed, can be sent back.

        ChangedMeanwhile if it is not in the state of the entity tag *if_match*.
        """
        body, path = self._body(spec), self._path(name)
        return (yield from self._one("PUT", path, body=body, if_match=if_match)).value

    @ApiMethod
    def patch(self, name: str, changes: Json, *, if_match: str = "") -> Steps[O]:
        """Change parts of a resource (JSON merge patch, RFC 7396); None removes a member."""
        path = self._path(name)
        return (yield from self._one("PATCH", path, body=changes, if_match=if_match)).value

    @ApiMethod
    def delete(self, name: str, *, if_match: str = "") -> Steps[None]:
        """Delete a resource; NotFoundError if it does not exist."""
        headers = {"If-Match": if_match} if if_match else {}
        request = self._calls.request("DELETE", self._path(name), headers=headers)
        answer = yield from answered(request, self._calls.retries)
        # The answer to an earlier try was lost, and that one deleted it.
        if not (answer.is_repeat and answer.status == NOT_FOUND):
            self._calls.checked(request, answer)

    @ApiMethod
    def wait_deleted(self, name: str, *, timeout: float = 120.0) -> Steps[None]:
        """Wait until *name* does not exist; WaitTimeout after *timeout* seconds."""
        end = (yield ReadClock()) + timeout
        while True:
            try:
                yield from self._one("GET", self._path(name))
            except NotFoundError:
                return
            if (yield ReadClock()) >= end:
                raise WaitTimeout(f"{self.kind.word}/{name} still exists after {timeout:g} s")
            yield Pause(LOOK_EVERY_SECONDS)


class SingleResource(KindPart[E, S, O, O], Generic[E, S, O]):
    """What exists once in a namespace, without a name."""

    @ApiMethod
    def get(self) -> Steps[O]:
        """It, as it is."""
        return (yield from self._one("GET", self.kind.path)).value

    @ApiMethod
    def tagged(self) -> Steps[TaggedResource[O]]:
        """It, with its entity tag."""
        return (yield from self._one("GET", self.kind.path))

    @ApiMethod
    def put(self, spec: S | O | Json, *, if_match: str = "") -> Steps[O]:
        """Replace it; what is left out has its default."""
        body = self._body(spec)
        return (yield from self._one("PUT", self.kind.path, body=body, if_match=if_match)).value
