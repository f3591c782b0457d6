"""What a server sends is printed without the control characters that command a terminal."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from edgesync.__main__ import main

ESCAPE = "\x1b]0;owned\x07"
TOKEN = {
    "namespace": "default",
    "name": f"ci{ESCAPE}",
    "role": "viewer",
    "createTime": "2027-01-01T00:00:00Z",
    "expires": "",
    "lastUsedTime": "",
}
ENTRY = {
    "number": 1,
    "time": "2027-01-01T00:00:00Z",
    "actor": {"kind": "token", "namespace": "default", "name": "ops"},
    "action": "app.update",
    "namespace": "default",
    "name": f"web{ESCAPE}",
    "outcome": "ok",
    "address": "127.0.0.1",
}
NODE = {
    "name": f"n1{ESCAPE}",
    "state": {"name": "online", "since": None, "lastReport": None},
    "description": "",
}
LISTS = {"/v1/tokens": TOKEN, "/v1/audit": ENTRY, "/v1/nodes": NODE}


class _Hostile(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        item = LISTS[self.path.partition("?")[0]]
        body = json.dumps({"items": [item], "listOptions": {"continue": ""}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the output of the test clean."""


@pytest.fixture
def hostile_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hostile) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(timeout=60)


@pytest.mark.parametrize("words", [["token", "list"], ["audit", "list"], ["get", "nodes"]])
def test_tables_strip_control_characters(hostile_url: str, words: list[str]) -> None:
    env = {"EDGESYNC_URL": hostile_url, "EDGESYNC_TOKEN": "x", "EDGESYNC_CONTEXTS": "/nonexistent"}
    result = CliRunner(env=env).invoke(main, words)
    assert result.exit_code == 0, result.output
    titles, row = result.stdout.splitlines()
    assert "NAME" in titles
    assert "]0;owned" in row
    assert set(result.stdout) & {"\x1b", "\x07"} == set()
