"""Versions, and which of them work together (docs/upgrading.md, "The promise")."""

import re

OLDEST_AGENT = 2
"""Number of the node agent of the previous version, as in `edgesync-agent 2`."""

_MINOR = re.compile(r"(\d+)\.(\d+)(?:\.|$)")
_AGENT = re.compile(r"edgesync-agent (\d+)")


def are_neighbours(one: str, other: str) -> bool | None:
    """Return whether the minor versions are the same or follow each other; None if one is none."""
    minors = [_MINOR.match(version) for version in (one, other)]
    if None in minors:
        return None
    (major, minor), (other_major, other_minor) = (
        map(int, found.groups()) for found in minors if found
    )
    return major == other_major and abs(minor - other_minor) <= 1


def is_older_agent(agent: str) -> bool:
    """Return whether *agent* is a node agent of before the previous version.

    Agents that are not of this project follow the protocol, or do not.
    """
    found = _AGENT.fullmatch(agent)
    return found is not None and int(found[1]) < OLDEST_AGENT
