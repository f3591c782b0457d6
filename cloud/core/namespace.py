"""Namespaces: each separates the nodes and resources of one fleet from those of others.

A namespace is not created: it is there as soon as something is in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cloud.core.readiness import NodeState


@dataclass(frozen=True, slots=True)
class NamespaceCounts:
    """The nodes of a namespace by their state, and the number of its apps and batches."""

    nodes: Mapping[NodeState, int]
    apps: int = 0
    batches: int = 0


EMPTY = NamespaceCounts(dict.fromkeys(NodeState, 0))
"""The counts of a namespace that has nothing."""
