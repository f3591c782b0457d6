"""The benchmark of activations runs through, and prints all its figures."""

import json

import pytest
from click.testing import CliRunner

from edgesync.bench.activations import command


@pytest.mark.parametrize("as_json", [True, False])
def test_activations_are_counted_beside_signing(*, as_json: bool) -> None:
    options = ["--devices", "20", "--parallel", "4", *(["--json"] if as_json else [])]
    result = CliRunner().invoke(command, options, catch_exceptions=False)
    assert result.exit_code == 0
    if not as_json:
        first, second, third = result.stdout.splitlines()
        assert " activations/s, 4 at a time" in first
        assert first.endswith(" 0 refused")
        assert second.startswith("CPU for each: server ")
        assert third.startswith("signing alone, one core: ")
        return
    figures = json.loads(result.stdout)
    assert (figures["devices"], figures["parallel"], figures["refused"]) == (20, 4, 0)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert figures["activations_per_second"] > 0
    assert figures["signed_per_second"] > figures["activations_per_second"]
