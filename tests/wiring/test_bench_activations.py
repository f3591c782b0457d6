"""The benchmark of activations runs through, and says all that is asked of it."""

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
    said = json.loads(result.stdout)
    assert (said["devices"], said["parallel"], said["refused"]) == (20, 4, 0)
    assert 0 < said["p50_ms"] <= said["p99_ms"]
    assert said["activations_per_second"] > 0
    assert said["signed_per_second"] > said["activations_per_second"]
