"""A server and a command line that know one more kind, each in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deadlines import UNIT
from tests.end_to_end.conftest import Server, running_server

MODULE = "tests.kinds.site"
CODE = "open sesame"


def call(sites: httpx.Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """The answer of a request that succeeds."""
    answer = sites.request(method, path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert CODE not in answer.text
    return answer.json()


def site(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "address": f"1 {name} road", **fields}


@dataclass
class KindShell:
    """Runs commands that know sites beside a server; *env* is theirs."""

    server: Server
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, code: int = 0) -> str:
        """What a command printed, which has to end with *code*."""
        own = {
            "EDGESYNC_URL": self.server.api,
            "EDGESYNC_TOKEN": self.server.token,
            "EDGESYNC_CONTEXTS": str(self.folder / "contexts.yaml"),
        }
        done = subprocess.run(
            [sys.executable, "-m", MODULE, *words],
            env={**os.environ, **own, **self.env},
            capture_output=True,
            text=True,
            timeout=30 * UNIT,
            check=False,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout + done.stderr

    def file(self, name: str, text: str) -> str:
        """A file of that text; its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)


@pytest.fixture(scope="module")
def kind_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("kinds") / "data", module=MODULE) as server:
        yield server


@pytest.fixture(scope="module")
def sites(kind_server: Server) -> Iterator[httpx.Client]:
    """A caller of the API."""
    with kind_server.client() as client:
        yield client


@pytest.fixture
def kind_shell(kind_server: Server, tmp_path: Path) -> KindShell:
    return KindShell(kind_server, tmp_path)
