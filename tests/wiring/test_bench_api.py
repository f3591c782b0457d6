"""The benchmark of the API runs through, and prints all its figures."""

import json

import pytest
from click.testing import CliRunner

from edgesync.bench.api import QUESTIONS, SELECTORS, SORTS, command
from edgesync.bench.api_connections import CONNECTIONS, READS

NODES, CALLS = 120, 1
LINES = [
    "get a node",
    "stats of a node",
    *(
        f"list 100, {selector or 'all'}{change}"
        for selector in SELECTORS
        for change in ("", ", labels changed", ", first time")
    ),
    "overview",
    "rollout",
    *(" ".join(filter(None, question)) for question in QUESTIONS),
    *(
        " ".join(filter(None, (fields, selector, f"sort={sort}", "include=status")))
        for sort, fields, selector in SORTS
    ),
    "namespaces",
    "failed nodes of an app, with causes",
    "put an app for all nodes",
]


@pytest.mark.parametrize("as_json", [True, False])
def test_every_call_is_measured_beside_the_store(*, as_json: bool) -> None:
    options = ["--nodes", str(NODES), "--calls", str(CALLS), *(["--json"] if as_json else [])]
    options += ["--seconds", "0.2" if as_json else "0"]
    result = CliRunner().invoke(command, options, catch_exceptions=False)
    assert result.exit_code == 0
    if as_json:
        figures = json.loads(result.stdout)
        assert figures["nodes"] == NODES
        assert min(figures["put_nodes_per_second"], figures["got_nodes_per_second"]) > 0
        assert [one["name"] for one in figures["calls"]] == LINES
        for one in figures["calls"]:
            assert one["calls"] == CALLS
            assert 0 < one["p50_ms"] <= one["p99_ms"]
            assert one["first_ms"] > 0
            assert one["ratio"] == pytest.approx(one["p50_ms"] / one["store_p50_ms"], rel=0.05)
        assert [one["name"] for one in figures["parallel"]] == list(READS)
        for one in figures["parallel"]:
            assert one["connections"] == CONNECTIONS
            assert min(one["per_second"], one["store_per_second"]) > 0
    else:
        rate, head, *lines = result.stdout.splitlines()
        assert rate.startswith("the store alone: ")
        assert head.split() == [
            "calls",
            "first",
            "ms",
            "p50",
            "ms",
            "p99",
            "ms",
            "store",
            "ms",
            "ratio",
        ]
        assert [line[:68].rstrip() for line in lines] == LINES
        assert all(len(line[68:].split()) == 6 for line in lines)
