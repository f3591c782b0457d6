"""The examples of docs/client.md, run as they stand there."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import world
from tests.repo.tracked import ROOT
from tests.rest.conftest import TOKEN, World

__all__ = ["world"]

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.S | re.M)


async def test_the_examples_of_the_page_run(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EDGESYNC_CONTEXTS", str(tmp_path / "contexts.yaml"))
    monkeypatch.setenv("EDGESYNC_URL", world.url)
    monkeypatch.setenv("EDGESYNC_TOKEN", TOKEN)
    blocks = _BLOCK.findall((ROOT / "docs" / "client.md").read_text(encoding="utf-8"))
    assert len(blocks) == 8
    names: dict[str, Any] = {}
    for block in blocks:
        await asyncio.to_thread(exec, compile(block, "docs/client.md", "exec"), names)
        await world.feed.round()
    names["client"].close()
    printed = capsys.readouterr().out
    for expected in (
        "press-1 never False",
        "it changed in the meantime",
        "1 selector False",
        "move to the tills",
        "0 of 0",
        "app.",
        "RequestParamInvalid labels.role",
        "['press-1'] [0]",
    ):
        assert expected in printed, printed
