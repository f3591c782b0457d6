"""A rollout to a few nodes, measured once."""

import json

from click.testing import CliRunner

from edgesync.bench.rollout import GOAL_RATIO, command


def test_a_rollout_is_measured_beside_a_put_and_a_bad_one_to_its_end() -> None:
    ended = CliRunner().invoke(command, ["--nodes", "20", "--json"])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.output)
    assert (found["nodes"], found["goal_ratio"]) == (20, GOAL_RATIO)
    assert found["ratio"] == found["rollout_seconds"] / found["put_seconds"]
    assert 0 <= found["stop_seconds"] <= found["return_seconds"]
    assert found["nodes_returned"] == 1  # the canary: 5 %
