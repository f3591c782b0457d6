"""The Docker Engine API (v1.41) over a Unix socket, as Docker and Podman serve it.

Every call has a deadline, and answers are read up to a limit. Reference:
https://docs.docker.com/reference/api/engine/version/v1.41/
"""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import time
from typing import Any, Iterator, Mapping
from urllib.parse import quote, urlencode

from edgesync_agent.runtime import FailureReason, RuntimeFailure

VERSION_PATH = "/v1.41"
ANSWER_LIMIT = 16 * 1024 * 1024  # bytes of one answer
LINE_LIMIT = 1024 * 1024  # bytes of one line of a stream
PIECE = 65536  # bytes that are read at a time
PATIENCE = 20.0  # seconds for an answer
VERSION_SECONDS = 15.0  # Podman on Debian starts a dozen programs for it
KINDS = (  # words in the engines' messages, and what they mean for an app
    ("port is already allocated", FailureReason.PORT),
    ("address already in use", FailureReason.PORT),
    ("no space left on device", FailureReason.DISK),
    ("no such image", FailureReason.IMAGE),
    ("image not known", FailureReason.IMAGE),
    ("manifest unknown", FailureReason.IMAGE),
    ("not found: manifest", FailureReason.IMAGE),
    ("repository does not exist", FailureReason.REGISTRY),
    ("unauthorized", FailureReason.REGISTRY),
    ("authentication required", FailureReason.REGISTRY),
    ("denied", FailureReason.REGISTRY),
    ("no basic auth credentials", FailureReason.REGISTRY),
)


class EngineRefusal(RuntimeFailure):
    """The engine answered with an error; *status* is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(reason_in(message), message)
        self.status = status


def reason_in(message: str, default: str = FailureReason.ENGINE) -> str:
    """The reason that an engine's words stand for."""
    lower = message.lower()
    return next((reason for words, reason in KINDS if words in lower), default)


def socket_paths(variables: Mapping[str, str], *, is_root: bool) -> list[str]:
    """Where engines listen, the preferred one first; DOCKER_HOST alone where it is set.

    An ordinary user's own engines come first: what they run has no more rights than the user.
    """
    chosen = variables.get("DOCKER_HOST", "")
    if chosen:
        return [chosen[len("unix://") :]] if chosen.startswith("unix://") else []
    system = ["/var/run/docker.sock", "/run/podman/podman.sock"]
    runtime = variables.get("XDG_RUNTIME_DIR", "")
    own = [f"{runtime}/docker.sock", f"{runtime}/podman/podman.sock"] if runtime else []
    return system + own if is_root else own + system


def find_engine(variables: Mapping[str, str] = os.environ) -> Engine:
    """The first engine that answers; RuntimeFailure lists what was tried."""
    paths, why = socket_paths(variables, is_root=os.geteuid() == 0), []
    for path in paths:
        if not os.path.exists(path):  # nor where the user may not look
            continue
        engine = Engine(path)
        try:
            engine.version()
        except RuntimeFailure as error:
            why.append(f"{path}: {error}")
        else:
            return engine
    if variables.get("DOCKER_HOST") and not paths:
        why.append("DOCKER_HOST is not a Unix socket")
    details = f" ({'; '.join(why)})" if why else ""
    raise RuntimeFailure(
        FailureReason.NO_RUNTIME,
        f"no Docker or Podman socket found: install docker or podman{details}",
    )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket of the engine."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


class Engine:
    """An engine behind the socket at *path*; each call is a connection of its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.seen_version: dict[str, Any] = {}  # as last asked for; empty before

    def version(self) -> dict[str, Any]:
        """The response of `/version`."""
        self.seen_version = self.call("GET", "/version", seconds=VERSION_SECONDS)
        return self.seen_version

    def owner(self) -> int:
        """The number of the user whose engine it is; RuntimeFailure where its socket is gone."""
        try:
            return os.stat(self.path).st_uid
        except OSError as error:
            raise RuntimeFailure(
                FailureReason.ENGINE, f"the engine does not answer: {error}"
            ) from error

    @property
    def is_podman(self) -> bool:
        """Whether it is Podman, by its version; `version` has to have been called."""
        parts = self.seen_version.get("Components") or []
        return any("podman" in str(part.get("Name", "")).lower() for part in parts)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        seconds: float = PATIENCE,
        allow: tuple[int, ...] = (),
    ) -> Any:
        """The answer as JSON, None where there is none; EngineRefusal from status 300 on.

        *allow* names statuses that are no error; they give None.
        """
        connection, answer = self._send(method, path, body, query, seconds, {})
        try:
            content = _read(answer)
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeFailure(
                FailureReason.ENGINE, f"the engine does not answer: {error}"
            ) from error
        finally:
            connection.close()
        if answer.status in allow:
            return None
        if answer.status >= 300:
            raise EngineRefusal(answer.status, _message(content))
        try:
            return json.loads(content) if content.strip() else None
        except ValueError as error:
            raise RuntimeFailure(FailureReason.ENGINE, "the engine's answer is no JSON") from error

    def stream(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = PATIENCE,
        total: float = PATIENCE,
        beat: float = 0.0,
    ) -> Iterator[bytes]:
        """The response in pieces; ends with it, or after *total* seconds.

        With *beat* an empty piece comes after each so many seconds in which nothing else does.
        RuntimeFailure where nothing comes for *seconds*, other than at the end of *total*.
        """
        deadline = time.monotonic() + total
        connection, answer = self._send(method, path, body, query, seconds, headers or {})
        try:
            if answer.status >= 300:
                raise EngineRefusal(answer.status, _message(_read(answer)))
            while time.monotonic() < deadline:
                left = deadline - time.monotonic()
                if beat and not _has_data(connection, answer, min(beat, left)):
                    yield b""
                    continue
                if connection.sock is not None:
                    connection.sock.settimeout(max(min(seconds, left), 0.01))
                piece = answer.read1(PIECE)
                if not piece:
                    return
                yield piece
        except socket.timeout as error:
            if time.monotonic() < deadline:
                why = f"nothing came from the engine for {seconds:.0f} s"
                raise RuntimeFailure(FailureReason.ENGINE, why) from error
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeFailure(FailureReason.ENGINE, f"the engine ended: {error}") from error
        finally:
            connection.close()

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, Any] | None,
        seconds: float,
        headers: Mapping[str, str],
    ) -> tuple[_UnixConnection, http.client.HTTPResponse]:
        target = VERSION_PATH + quote(path, safe="/:@")
        if query:
            target += "?" + urlencode({key: _text(value) for key, value in query.items()})
        content = None if body is None else json.dumps(body).encode()
        connection = _UnixConnection(self.path, seconds)
        try:
            sent = {"Content-Type": "application/json", **headers}
            connection.request(method, target, content, sent)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise RuntimeFailure(
                FailureReason.ENGINE, f"the engine does not answer: {error}"
            ) from error


def _has_data(
    connection: _UnixConnection, answer: http.client.HTTPResponse, seconds: float
) -> bool:
    """Whether a piece of *answer* can be read, now or within *seconds*."""
    if connection.sock is None or answer.fp is None:
        return True
    connection.sock.settimeout(0)
    buffered = answer.fp.peek(1)
    # What ends a chunk (RFC 9112, 7.1) is in the buffer before the next one is on its way.
    if buffered and buffered != b"\r\n":
        return True
    return bool(select.select([connection.sock], [], [], max(seconds, 0))[0])


def json_lines(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream of lines; what is none is left out."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        rest = rest[-LINE_LIMIT:]
        for line in lines:
            yield from _object(line)
    yield from _object(rest)


def demultiplexed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The output in a stream whose frames have a head: kind, 3 zeros, length (attach, logs)."""
    buffer = b""
    for piece in pieces:
        if not piece:
            yield b""
        buffer += piece
        while len(buffer) >= 8:
            length = int.from_bytes(buffer[4:8], "big")
            if len(buffer) < 8 + length:
                break
            yield buffer[8 : 8 + length]
            buffer = buffer[8 + length :]


def _read(answer: http.client.HTTPResponse) -> bytes:
    """All of an answer, in pieces: `read` with a limit would take memory for the limit."""
    pieces: list[bytes] = []
    size = 0
    while True:
        piece = answer.read1(PIECE)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
        if size > ANSWER_LIMIT:
            raise RuntimeFailure(FailureReason.ENGINE, "the engine's answer is too long")


def _object(line: bytes) -> Iterator[dict[str, Any]]:
    try:
        content = json.loads(line)
    except ValueError:
        return
    if isinstance(content, dict):
        yield content


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _message(content: bytes) -> str:
    try:
        found = json.loads(content)
        return str(found.get("message") or found.get("cause") or found)[:500]
    except (ValueError, AttributeError):
        return content.decode(errors="replace").strip()[:500] or "the engine gives no reason"
