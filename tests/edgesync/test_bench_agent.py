"""What the agent takes at rest, measured for a moment."""

import json

import pytest
from click.testing import CliRunner

from edgesync.bench.agent import CPU_GOAL, MEMORY_GOAL, command


@pytest.mark.parametrize("arguments", [["--json"], []])
def test_an_agent_at_rest_is_measured_beside_a_python_that_sleeps(arguments: list[str]) -> None:
    options = ["--instances", "2", "--seconds", "1", "--settle", "0", *arguments]
    ended = CliRunner().invoke(command, options)
    assert ended.exit_code == 0, ended.output
    if not arguments:
        assert "2 host processes" in ended.output
        assert "goal 30 MiB" in ended.output
        assert " s    from PUT of a new version" in ended.output
        return
    found = json.loads(ended.output)
    assert (found["memory_goal_bytes"], found["agent_cores_goal"]) == (MEMORY_GOAL, CPU_GOAL)
    assert found["memory_bytes"] > found["plain_memory_bytes"] > 5 * 2**20
    assert found["memory_bytes"] < 2 * MEMORY_GOAL
    assert 0 <= found["agent_cores"] < 1
    assert 0 < found["first_running_seconds"] <= found["all_running_seconds"]
    assert found["update_seconds"] > 3, "instances without probes have to run for 3 seconds"
