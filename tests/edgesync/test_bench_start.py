"""The start of a server, measured once."""

import json

import pytest
from click.testing import CliRunner

from edgesync.bench.start import GOAL_SECONDS, command


@pytest.mark.parametrize("arguments", [["--json"], []])
def test_a_start_is_measured_beside_a_python_with_the_frameworks(arguments: list[str]) -> None:
    ended = CliRunner().invoke(command, ["--starts", "1", *arguments])
    assert ended.exit_code == 0, ended.output
    if not arguments:
        assert "goal 0.8 s" in ended.output
        assert "with Starlette and uvicorn" in ended.output
        return
    found = json.loads(ended.output)
    assert found["goal_seconds"] == GOAL_SECONDS
    assert found["server"]["cpu_seconds"] > found["frameworks"]["cpu_seconds"]
    assert found["frameworks"]["cpu_seconds"] > found["empty"]["cpu_seconds"] > 0
    assert found["server"]["seconds"] > 0
