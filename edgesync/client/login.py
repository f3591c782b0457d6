"""Logging in as a user: in a browser on this machine (RFC 8252), or with a code (RFC 8628)."""

import hmac
import http.server
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from edgesync.client.access import Access
from edgesync.client.errors import AccessError, ConnectionLost
from edgesync.client.http_client import httpx

CLIENT_ID = "edgesync"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"

BROWSER_SECONDS = 300.0
"""How long the browser may take."""

SLOW_DOWN_SECONDS = 5.0
"""How much longer to wait between two requests when the server answers `slow_down`."""

_PAGE = b"""<!doctype html><meta charset="utf-8"><title>edgesync</title>
<p>The command line goes on. You can close this page."""


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What a user needs to approve the login; *uri_complete* has the code in it."""

    user_code: str
    uri: str
    uri_complete: str


def offers_users(access: Access) -> bool:
    """Return whether users can log in to the server, by a provider or a password."""
    with _client(access) as client:
        ways = _json(_sent(lambda: client.get("/login")))
    return bool(ways.get("local")) or any(one.get("signIn") for one in ways.get("providers", []))


def login_by_code(access: Access, show: Callable[[DeviceCode], None]) -> str:
    """The token of a session that a user approves in any browser; AccessError if that fails."""
    with _client(access) as client:
        answer = _sent(lambda: client.post("/login/device", data={"client_id": CLIENT_ID}))
        begun = _json(answer)
        if answer.status_code != httpx.codes.OK:
            raise AccessError(f"the server refused: {begun.get('message') or begun.get('error')}")
        show(
            DeviceCode(
                begun["user_code"], begun["verification_uri"], begun["verification_uri_complete"]
            )
        )
        form = {
            "grant_type": DEVICE_GRANT,
            "device_code": begun["device_code"],
            "client_id": CLIENT_ID,
        }
        wait = float(begun.get("interval", SLOW_DOWN_SECONDS))
        deadline = time.monotonic() + float(begun["expires_in"])
        while time.monotonic() < deadline:
            time.sleep(wait)
            try:
                got = _json(_sent(lambda: client.post("/login/token", data=form)))
            except ConnectionLost:  # RFC 8628, section 3.5: slower, and again
                wait *= 2
                continue
            if "access_token" in got:
                return str(got["access_token"])
            error = got.get("error")
            if error == "slow_down":
                wait += SLOW_DOWN_SECONDS
            elif error != "authorization_pending":
                raise AccessError(_refusal(got))
    raise AccessError("the login was not approved in time")


def login_by_browser(
    access: Access, show: Callable[[str], None], *, seconds: float = BROWSER_SECONDS
) -> str:
    """The token of a session that the user confirms in a browser that *show* leads to an address.

    AccessError if that fails, or if it takes longer than *seconds*.
    """
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    with _Callback(state) as callback:
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": callback.address,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        show(f"{str(access.url).rstrip('/')}/login/authorize?{urlencode(query)}")
        code = callback.code(time.monotonic() + seconds)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": callback.address,
            "client_id": CLIENT_ID,
            "code_verifier": verifier,
        }
    with _client(access) as client:
        got = _json(_sent(lambda: client.post("/login/token", data=form)))
    if "access_token" not in got:
        raise AccessError(_refusal(got))
    return str(got["access_token"])


class _Callback:
    """Listens on this machine, until the browser comes with *state*."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._found: Mapping[str, str] = {}
        callback = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                is_ours = callback._take(self.path)
                self.send_response(200 if is_ours else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Referrer-Policy", "no-referrer")
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(_PAGE if is_ours else b"")

            def log_message(self, format: str, *args: Any) -> None:
                """Print nothing: the address has the code in it."""

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> "_Callback":
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.server_close()

    @property
    def address(self) -> str:
        """Where the server has to lead the browser to."""
        return f"http://127.0.0.1:{self._server.server_port}/callback"

    def code(self, deadline: float) -> str:
        """The code that the browser brings; AccessError for a refusal, and after *deadline*."""
        while not self._found:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AccessError("the browser did not come back in time; try --device")
            self._server.timeout = left
            self._server.handle_request()
        if "code" not in self._found:
            raise AccessError(_refusal(self._found))
        return self._found["code"]

    def _take(self, target: str) -> bool:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        given = query.get("state", "").encode()
        if parts.path != "/callback" or not hmac.compare_digest(given, self._state.encode()):
            return False
        self._found = query
        return True


def _client(access: Access) -> "httpx.Client":
    return httpx.Client(base_url=access.url, verify=access.trust, timeout=30)


def _sent(send: "Callable[[], httpx.Response]") -> "httpx.Response":
    try:
        return send()
    except httpx.TransportError as error:
        raise ConnectionLost(str(error.request.url), str(error), was_sent=True) from error


def _json(answer: "httpx.Response") -> Mapping[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise AccessError("this is no server of edgesync, or one without logins of users")
    return content


def _refusal(content: Mapping[str, Any]) -> str:
    reasons = {
        "access_denied": "the login was refused in the browser, or the user's session has ended",
        "expired_token": "the login was not approved in time",
        "invalid_grant": "the server does not accept the code",
    }
    error = str(content.get("error") or content.get("message") or "the login failed")
    return reasons.get(error, error[:200])
