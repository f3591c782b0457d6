"""Requests to the server's activation port; it is trusted by its root, and at the right time."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any, Callable

from edgesync_agent.clock import Clock, WrongTime
from edgesync_agent.link import trusting

PATIENCE = 60  # seconds for an answer

Check = Callable[[Any], None]
"""Is shown the certificate of the server, as `getpeercert` gives it."""


class _Connection(http.client.HTTPSConnection):
    """Shows *check* the server before anything is sent."""

    def __init__(self, host: str, *, check: Check, **options: Any) -> None:
        super().__init__(host, **options)
        self._check = check

    def connect(self) -> None:
        """Connect as ever, and have the server looked at."""
        super().connect()
        self._check(self.sock.getpeercert())


class _Handler(urllib.request.HTTPSHandler):
    def __init__(self, ca: Path, check: Check, identity: Path | None) -> None:
        self._trust = trusting(ca)
        if identity is not None:
            self._trust.load_cert_chain(identity / "cert.pem", identity / "key.pem")
        super().__init__(context=self._trust)
        self._connection: Any = partial(_Connection, check=check)

    def https_open(self, request: urllib.request.Request) -> Any:
        """As ever, with connections of ours."""
        return self.do_open(self._connection, request, context=self._trust)


def post(url: str, ca: Path, body: Any, clock: Clock) -> dict[str, Any]:
    """The answer to *body*; raises OSError and ValueError, and HTTPError for a refusal.

    Where the time seems to be wrong the server is asked for it, and asked again.
    """
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    return _ask(request, ca, clock, None)


def get(url: str, identity: Path, clock: Clock) -> dict[str, Any]:
    """The answer to who shows the certificate of the folder *identity*; errors as of `post`."""
    return _ask(urllib.request.Request(url), identity / "ca.pem", clock, identity)


def _ask(
    request: urllib.request.Request, ca: Path, clock: Clock, identity: Path | None
) -> dict[str, Any]:
    try:
        return _open(request, ca, clock.check, identity)
    except WrongTime:
        learn_time(request.full_url, ca, clock)
    try:
        return _open(request, ca, clock.check, identity)
    except WrongTime as error:
        raise OSError(str(error)) from error


def learn_time(url: str, ca: Path, clock: Clock) -> None:
    """Ask the server at *url* what time it is; OSError if its certificate is not valid then.

    The server has proved that it is ours before it is believed.
    """
    certificates: list[Any] = []
    trial = Clock(clock.read)
    try:
        trial.hear(_open(urllib.request.Request(url), ca, certificates.append).get("time"))
    except urllib.error.HTTPError as error:
        trial.hear(_time_in(error))
    try:
        trial.check(certificates[-1])
    except WrongTime as error:
        raise OSError(str(error)) from error
    clock.skew = trial.skew


def _open(
    request: urllib.request.Request, ca: Path, check: Check, identity: Path | None = None
) -> dict[str, Any]:
    opener = urllib.request.build_opener(_Handler(ca, check, identity))
    with opener.open(request, timeout=PATIENCE) as answer:
        content: dict[str, Any] = json.load(answer)
        return content


def _time_in(error: urllib.error.HTTPError) -> Any:
    try:
        return json.load(error)["time"]
    except (ValueError, KeyError, TypeError):
        return None
