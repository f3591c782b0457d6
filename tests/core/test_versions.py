"""Which versions work together."""

import pytest

from cloud.core.versions import OLDEST_AGENT, are_neighbours, is_older_agent
from edgesync_agent import VERSION


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        ("0.1.0", "0.2.3", True),
        ("0.2.1.dev3+g12", "0.1", True),
        ("0.1.1", "0.3.0", False),
        ("0.9.0", "1.0.0", False),
        ("", "0.1.0", None),
        ("0.1.0", "unknown", None),
    ],
)
def test_minor_versions_that_follow_each_other_work_together(
    one: str, other: str, *, fits: bool | None
) -> None:
    assert are_neighbours(one, other) is fits
    assert are_neighbours(other, one) is fits


def test_an_agent_is_older_by_its_number() -> None:
    assert is_older_agent(f"edgesync-agent {OLDEST_AGENT - 1}")
    for agent in (VERSION, f"edgesync-agent {OLDEST_AGENT}", "v2.4.3", "agent_sim", ""):
        assert not is_older_agent(agent)
