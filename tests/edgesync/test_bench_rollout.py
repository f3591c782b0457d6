"""A rollout to a few nodes, measured once."""

import json

import pytest
from click.testing import CliRunner

from edgesync.bench.rollout import GOAL_RATIO, command
from edgesync.bench.rollout_costs import cost_lines


def test_a_rollout_is_measured_beside_a_put_and_a_bad_one_to_its_end() -> None:
    ended = CliRunner().invoke(command, ["--nodes", "20", "--cost-nodes", "20", "--json"])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.output)
    assert (found["nodes"], found["goal_ratio"]) == (20, GOAL_RATIO)
    assert found["ratio"] == found["rollout_seconds"] / found["put_seconds"]
    assert 0 <= found["stop_seconds"] <= found["return_seconds"]
    assert found["nodes_returned"] == 1  # the canary: 5 %
    costs = found["costs"]
    assert costs["nodes"] == 20
    assert all(took > 0 for took in costs["governed_seconds"].values())
    sent = [
        sum(costs[side][part] for part in ("start", "admission", "sending"))
        for side in ("governed_seconds", "plain_seconds")
    ]
    assert costs["sent_ratio"] == pytest.approx(sent[0] / sent[1])
    assert cost_lines(costs).splitlines()[0].startswith("CPU for a version on 20 nodes")
