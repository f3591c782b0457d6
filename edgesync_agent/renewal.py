"""The next certificate: asked for in time, checked, and put in the place of the one before.

The key stays the same, so that a crash between any two steps leaves a pair that works, and so that
a machine whose certificate has ended can still prove who it is (docs/protocol.md, "Renewal").
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import urllib.error
from pathlib import Path
from typing import Any, Callable

from edgesync_agent.activation import openssl_command, reason_of, signing_request
from edgesync_agent.certificate import check, dates, now_text
from edgesync_agent.clock import Clock
from edgesync_agent.errors import AgentError
from edgesync_agent.files import replace_file
from edgesync_agent.https import post

FIRST_PAUSE = 60.0  # seconds after an attempt that failed; doubled each time
LONGEST_PAUSE = 3600.0
PATIENCE = 30.0  # seconds that an answer over MQTT may take
FAILURES = 3  # attempts to connect after which another certificate may help

Send = Callable[[str, str, "dict[str, Any]", "dict[str, Any]"], None]


def share(node_id: str) -> float:
    """The node's own part of 1: spreads machines that were brought in together."""
    return int.from_bytes(hashlib.sha256(node_id.encode()).digest()[:8], "big") / 2**64


def renewal_time(node_id: str, begins: float, ends: float) -> float:
    """When to ask: after two thirds of the life of a certificate, plus the node's share."""
    life = ends - begins
    return begins + life * 2 / 3 + life / 10 * share(node_id)


class Renewal:
    """Knows when the certificate in *folder* has to be followed by another, and sees to it."""

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        note: Callable[[str], None],
        clock: Clock,
        renewed: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self.identity = identity
        self.note = note  # takes lines for the log
        self.openssl = openssl_command()
        self.clock = clock
        self.renewed = renewed  # called once there is another certificate
        self.failures = 0  # attempts to connect since the last that worked
        self.may_help = True  # another certificate, where connecting fails
        self.asked: float | None = None  # when, on a clock that does not go back; None: not waiting
        self.not_before = 0.0  # no further attempt before, on that clock
        self.pause = 0.0
        self._look()

    def certificate(self) -> Path:
        """The file to connect with: the newest, or each second time the one before it."""
        before = self.folder / "cert.old.pem"
        return before if self.failures % 2 and before.exists() else self.folder / "cert.pem"

    def connected(self) -> None:
        """The server has let us in: the certificate before the one that did is not needed."""
        if self.certificate().name == "cert.pem":
            with contextlib.suppress(FileNotFoundError):
                (self.folder / "cert.old.pem").unlink()
        self.failures, self.may_help, self.asked = 0, True, None

    def failed(self, now: float) -> None:
        """An attempt to connect has failed; where the certificate may be at fault, renew it."""
        self.failures += 1
        has_ended = self.clock.now() >= self.ends
        if (has_ended or self.failures >= FAILURES) and self.may_help and now >= self.not_before:
            self._by_key(now)

    def tend(self, send: Send, now: float) -> bool:
        """On a connection: ask if it is time; return whether another certificate is there now."""
        if self.asked is not None and now - self.asked > PATIENCE:
            self.asked = None
            return self._by_key(now)
        if self.asked is None and now >= self.not_before and self.is_due():
            send("renew", "renew", {"x-baetyl-request-id": "renew"}, {"csr": self._request()})
            self.asked = now
        return False

    def is_due(self) -> bool:
        """Return whether it is time, by the server's clock as far as that is known."""
        return self.clock.now() >= self.due

    def take(self, payload: bytes, now: float) -> bool:
        """Handle the answer to `tend`; return whether another certificate is there now."""
        self.asked = None
        try:
            message = json.loads(payload)
            self._put(_granted(message), message["meta"].get("time"))
        except (AgentError, ValueError, KeyError, TypeError, AttributeError) as error:
            return self._wait(now, error)
        return True

    def _by_key(self, now: float) -> bool:
        """Ask on the activation port, proved by the key alone; return whether that helped."""
        try:
            answer = self._post()
            self._put(answer, answer.get("time"))
        except (AgentError, ValueError, KeyError, TypeError, AttributeError) as error:
            return self._wait(now, error)
        self.may_help = not self.failures
        return True

    def _post(self) -> dict[str, Any]:
        if "activation" not in self.identity:
            raise AgentError("this node does not know where: run a new installation command")
        url = self.identity["activation"] + "/v1/renew"
        body = {"csr": self._request(), "certificate": (self.folder / "cert.pem").read_text()}
        try:
            return post(url, self.folder / "ca.pem", body, self.clock)
        except urllib.error.HTTPError as error:
            raise AgentError(f"the server refuses: {reason_of(error)}") from error
        except OSError as error:
            raise AgentError(f"the server cannot be reached: {error}") from error

    def _request(self) -> str:
        return signing_request(self.folder / "key.pem", self.openssl)

    def _put(self, content: dict[str, Any], server_time: Any) -> None:
        """Check the new certificate and replace the current one; AgentError if it is not valid."""
        self.clock.hear(server_time)
        place = self.folder / "cert.pem"
        new = check(
            content["certificate"],
            self.identity["nodeId"],
            self.folder / "key.pem",
            self.folder / "ca.pem",
            self.clock.now(),
            self.openssl,
        )
        replace_file(self.folder / "cert.old.pem", place.read_bytes())
        replace_file(place, new.encode())
        self._look()
        self.pause = self.not_before = 0.0
        self.note(f"there is another certificate; it ends at {now_text(self.ends)}")
        self.renewed()

    def _look(self) -> None:
        begins, self.ends = dates(self.folder / "cert.pem", self.openssl)
        self.due = renewal_time(self.identity["nodeId"], begins, self.ends)

    def _wait(self, now: float, error: Exception) -> bool:
        self.pause = min(2 * self.pause or FIRST_PAUSE, LONGEST_PAUSE)
        self.not_before = now + self.pause * (0.5 + random.random() / 2)  # noqa: S311
        self.note(f"the certificate is not renewed: {error}")
        return False


def _granted(message: dict[str, Any]) -> Any:
    if message["kind"] != "renew":
        raise AgentError(f"the server refuses: {message['content']}")
    return message["content"]
