"""Commands as people type them, against the API behind a real web server."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgesync.__main__ import main
from tests.rest.conftest import TOKEN, World, world

__all__ = ["world"]


@dataclass
class Shell:
    """Runs commands beside a server; *env* is theirs."""

    world: World
    folder: Path
    env: dict[str, str | None] = field(default_factory=dict)

    async def run(self, *words: str, stdin: str | None = None, code: int = 0) -> Result:
        """The output of a command, which has to end with *code*."""
        runner = CliRunner(env=self.env)
        result = await asyncio.to_thread(runner.invoke, main, words, input=stdin)
        assert result.exit_code == code, (result.output, result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    async def lines(self, *words: str, stdin: str | None = None, code: int = 0) -> list[list[str]]:
        """Words of each line of what it printed."""
        result = await self.run(*words, stdin=stdin, code=code)
        return [line.split() for line in result.stdout.splitlines()]

    def file(self, name: str, text: str) -> str:
        """A file of that text; its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)


@pytest.fixture
def shell(world: World, tmp_path: Path) -> Shell:
    """A shell that knows server and token by its environment."""
    return shell_of(world, tmp_path)


def shell_of(world: World, tmp_path: Path) -> Shell:
    """A shell of *world*, with files in *tmp_path*."""
    folder = tmp_path / "shell"
    folder.mkdir()
    contexts = str(folder / "contexts.yaml")
    env: dict[str, str | None] = {
        "EDGESYNC_CONTEXTS": contexts,
        "EDGESYNC_URL": world.url,
        "EDGESYNC_TOKEN": TOKEN,
    }
    return Shell(world, folder, env)
