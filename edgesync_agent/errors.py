"""What can go wrong."""

from __future__ import annotations


class AgentError(Exception):
    """What went wrong, in words for the person at the machine."""


class HubConnectionLost(Exception):
    """The connection is gone or useless; another one may do."""
