"""Calls of the API as steps: what goes with each of them, and how lists are read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edgesync.client.steps import (
    Found,
    HttpAnswer,
    HttpRequest,
    Items,
    Retries,
    Steps,
    answered,
    check,
    json_of,
)

T = TypeVar("T")

PAGE = 500
"""Items in one page."""

NAMESPACE_HEADER = "X-Edgesync-Namespace"
REASON_HEADER = "X-Edgesync-Reason"

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Calls:
    """What goes with all calls to the server at *url*.

    *namespace* is what they are about (empty: the token's), *reason* stands in the audit log and
    in revisions; *confirm* overrides the guard's limit on affected nodes. *source* is where the
    token is from.
    """

    url: str
    namespace: str = ""
    reason: str = ""
    confirm: bool = False
    retries: Retries = field(default_factory=Retries)
    source: str = ""

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpRequest:
        """A request; *body* is plain data."""
        sent = {**(query or {})}
        if method != "GET" and self.confirm:
            sent.setdefault("confirm", "true")
        own = {
            NAMESPACE_HEADER: self.namespace,
            REASON_HEADER: self.reason if method != "GET" else "",
            "Content-Type": _media_type(method) if body is not None else "",
        }
        return HttpRequest(
            method,
            path,
            sent,
            {**{key: text for key, text in own.items() if text}, **(headers or {})},
            None if body is None else json.dumps(body).encode(),
        )

    def ask(self, request: HttpRequest) -> Steps[HttpAnswer]:
        """The answer to *request* after retries; ApiError for an error, or ConnectionLost."""
        answer = yield from answered(request, self.retries)
        return self.checked(request, answer)

    def checked(self, request: HttpRequest, answer: HttpAnswer) -> HttpAnswer:
        """The *answer*; ApiError if it is an error."""
        return check(request, answer, self.url, self.source)

    def json(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Steps[Any]:
        """The content of the answer to a call."""
        request = self.request(method, path, body=body, query=query, headers=headers)
        answer = yield from self.ask(request)
        return json_of(answer, self.url)

    def listed(self, path: str, query: Mapping[str, str], form: Callable[[Any], T]) -> Items[T]:
        """All items of a list, page by page, each in its *form*."""
        place = ""
        while True:
            page = {"limit": str(PAGE), **query, "continue": place}
            answer = yield from self.json("GET", path, query=page)
            for item in answer["items"]:
                yield Found(form(item))
            place = (answer["listOptions"] or {}).get("continue", "")
            if not place:
                return

    def numbered(self, path: str, query: Mapping[str, str], form: Callable[[Any], T]) -> Items[T]:
        """As `listed`, of a list that is paged by numbers."""
        number = 1
        while True:
            page = {**query, "pageNo": str(number), "pageSize": str(PAGE)}
            items = (yield from self.json("GET", path, query=page))["items"]
            for item in items:
                yield Found(form(item))
            if len(items) < PAGE:
                return
            number += 1


def _media_type(method: str) -> str:
    return "application/merge-patch+json" if method == "PATCH" else "application/json"


def given(**values: str | int | None) -> dict[str, str]:
    """A query of the *values* that are there: not None, and no empty text."""
    return {key: str(value) for key, value in values.items() if value not in {None, ""}}
