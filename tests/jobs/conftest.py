"""What the jobs work on: a hub without a network, and an empty store."""

from tests.link.conftest import hub, store

__all__ = ["hub", "store"]
