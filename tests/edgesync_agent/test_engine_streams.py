"""Streams of an engine, by a socket that sends what a test wants."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesync_agent.engine import Engine, demultiplexed
from edgesync_agent.runtime import RuntimeFailure
from tests.deadlines import UNIT

DEADLINE = 20 * UNIT
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class FakeEngine:
    """An engine with one connection, which answers with what it is given."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.connection: socket.socket | None = None
        self.is_asked = threading.Event()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self) -> None:
        self.connection, _ = self.listener.accept()
        self.connection.recv(65536)
        self.connection.sendall(HEAD)
        self.is_asked.set()

    def send(self, text: bytes) -> None:
        """One line of a log, as a frame in a chunk."""
        assert self.is_asked.wait(DEADLINE)
        assert self.connection
        frame = b"\1\0\0\0" + len(text).to_bytes(4, "big") + text
        self.connection.sendall(b"%x\r\n%s\r\n" % (len(frame), frame))

    def end(self) -> None:
        assert self.connection
        self.connection.sendall(b"0\r\n\r\n")

    def close(self) -> None:
        for one in (self.connection, self.listener):
            if one:
                one.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    made = FakeEngine(tmp_path / "engine.sock")
    yield made
    made.close()


def follow(fake: FakeEngine, **options: Any) -> Iterator[bytes]:
    stream = Engine(str(fake.path)).stream("GET", "/logs", **{"total": DEADLINE, **options})
    return demultiplexed(stream)


def test_a_log_that_is_quiet_gives_a_chance_to_end_and_loses_nothing(fake: FakeEngine) -> None:
    threading.Timer(0.0, lambda: fake.send(b"one\n")).start()
    log = follow(fake, seconds=0.3, beat=0.05)
    assert next(filter(None, log)) == b"one\n"
    began = time.monotonic()
    beats = [next(log) for _ in range(8)]
    assert beats == [b""] * 8
    assert time.monotonic() - began >= 0.35, "longer than it waits for a piece otherwise"
    for number in range(100):
        fake.send(b"%d\n" % number)
    found = [next(filter(None, log)) for _ in range(100)]
    assert found == [b"%d\n" % number for number in range(100)]
    fake.end()
    assert b"".join(log) == b""


def test_a_stream_without_a_beat_fails_where_nothing_comes(fake: FakeEngine) -> None:
    with pytest.raises(RuntimeFailure, match="nothing came"):
        list(follow(fake, seconds=0.1))


def test_a_stream_ends_after_its_time(fake: FakeEngine) -> None:
    began = time.monotonic()
    assert set(follow(fake, total=0.3, beat=0.05)) <= {b""}
    assert 0.25 < time.monotonic() - began < DEADLINE
