"""Who is calling."""

import hashlib
import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from cloud.errors import Denied


class TokenGate:
    """Lets requests below `/v1`, whether there is such a path or not, in with the token alone."""

    def __init__(self, app: ASGIApp, token_digest: bytes) -> None:
        self.app = app
        # SHA-256 of the token; the token itself is not kept.
        self.token_digest = token_digest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or Denied."""
        if scope["type"] == "http" and _is_guarded(scope["path"]):
            self._check(Headers(scope=scope).get("authorization", ""))
        await self.app(scope, receive, send)

    def _check(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Denied("send the header Authorization: Bearer <token>")
        digest = hashlib.sha256(token.strip().encode()).digest()
        if not hmac.compare_digest(digest, self.token_digest):
            raise Denied("the token is not valid")


def _is_guarded(path: str) -> bool:
    return path == "/v1" or path.startswith("/v1/")
