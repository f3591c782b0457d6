"""Routes outside the table of the API."""

from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from cloud.http.requests import check_query


class CheckedRoute(Route):
    """A route that answers 400 to query parameters other than *known*."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Sequence[str] | None = None,
        known: Sequence[str] = (),
    ) -> None:
        super().__init__(path, endpoint, methods=methods)
        self._known = known

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; Invalid names an unknown parameter and the nearest known one."""
        if scope["method"] in (self.methods or ()):
            check_query(Request(scope), self._known)
        await super().handle(scope, receive, send)
